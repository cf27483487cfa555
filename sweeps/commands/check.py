"""onset check: runs the executable contract on any router and says what failed.

    onset check PACKAGE.MODULE:ROUTER [--width=16] [--seed=0]
    onset check NAME

NAME is one of routers.ROUTERS, or what an installed package offers under the
entry-point group onset.routers. Exit code 1 if any check fails.
"""

import importlib
import sys

from absl import flags
from rich.console import Console
from rich.table import Table

from routers import find_router
from routers.base import Router
from routers.contract import Finding, examine

FAILED = 1


class BadInput(ValueError):
    """A router that cannot be found; the message is one line for the user."""


def define_flags(values: flags.FlagValues) -> None:
    """Flags of this command."""
    flags.DEFINE_integer("width", 16, "Model width of the test.", flag_values=values)
    flags.DEFINE_integer("seed", 0, "Seed of parameters, input.", flag_values=values)


def command(values: flags.FlagValues, target: str | None = None) -> int:
    """Runs the command; returns its exit code."""
    if target is None:
        raise BadInput("which router? PACKAGE.MODULE:ROUTER, or a name")
    if values.width < 1:
        raise BadInput(f"--width={values.width}: at least 1")
    try:
        router = load_router(target)(width=values.width)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{target}: {error}") from None
    findings = check(router, values.seed)
    Console().print(_table(target, findings), highlight=False)
    return FAILED if any(not finding.passed for finding in findings) else 0


def check(router: Router, seed: int = 0) -> list[Finding]:
    """The whole contract on one router: `routers.contract.examine`."""
    return examine(router, seed)


def load_router(target: str) -> type[Router]:
    """A router class from ``package.module:Class`` or a known name.

    Raises:
      ValueError: it cannot be imported or is not a router.
    """
    if ":" not in target:
        return find_router(target)[0]
    module_name, _, class_name = target.partition(":")
    if "" not in sys.path:  # as `python -m` would: the folder one stands in
        sys.path.insert(0, "")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"cannot be imported ({error})") from None
    if not (isinstance(found, type) and issubclass(found, Router)):
        raise ValueError(f"{class_name} is not a subclass of routers.base.Router")
    return found


def _table(target: str, findings: list[Finding]) -> Table:
    failed = sum(not finding.passed for finding in findings)
    title = f"{target}: {len(findings) - failed} of {len(findings)} checks passed"
    table = Table(title=title)
    for heading in ("check", "geometry", "", "what was found"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        mark = "[green]passed[/]" if finding.passed else "[red]FAILED[/]"
        table.add_row(finding.check, finding.kind, mark, finding.detail)
    return table
