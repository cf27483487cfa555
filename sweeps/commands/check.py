"""onset check: runs the executable contract on any router and says what failed.

    onset check PACKAGE.MODULE:ROUTER [--set heads=2] [--width=16] [--seed=0]
    onset check NAME [--set heads=2]
    onset check --config=FILE [--config.KEY=VALUE ...]

NAME is a key of routers.ROUTERS, or a name that an installed package offers under the
entry-point group onset.routers. ``--set`` gives one of the router's own settings and
can be repeated. With a config, the routers, settings and width of that sweep are
checked, at its length if that is above 131 and at most 521. The exit code is 1 if any
check fails.
"""

import ast
import dataclasses
from typing import Any

from absl import flags
from ml_collections import ConfigDict
from rich.console import Console

from routers.base import Router
from routers.contract import examine, examine_elsewhere
from sweeps.design.parse import load_router, read_dtype, read_routers
from sweeps.errors import BadInput
from sweeps.report.terminal import contract_table

FAILED = 1
WIDTH = 16


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this command beside ``--config``."""
    flags.DEFINE_integer(
        "width",
        None,
        f"Width of the model in the checks; {WIDTH}, or that of the config.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "seed", 0, "Seed of the parameters and the input.", flag_values=values
    )
    flags.DEFINE_multi_string(
        "set",
        [],
        "NAME=VALUE: a setting of the router; can be repeated.",
        flag_values=values,
    )


def command(values: flags.FlagValues, target: str | None = None) -> int:
    """Runs the command; returns its exit code."""
    if target is None and values.config is None:
        raise BadInput("name the router to check: PACKAGE.MODULE:ROUTER, or a name")
    if values.width is not None and values.width < 1:
        raise BadInput(f"--width={values.width}: must be at least 1")
    if not 0 <= values.seed < 2**32:
        raise BadInput(f"--seed={values.seed}: must be between 0 and {2**32 - 1}")
    if target is None:
        if values.set:
            raise BadInput(
                f"--set={values.set[0]}: with --config, give --config.router.KEY=VALUE"
            )
        routers = _of_config(values.config, values.width)
    elif values.config is not None:
        raise BadInput(f"{target}: give either a router or --config, not both")
    else:
        routers = {target: _of_target(target, values.width or WIDTH, values.set)}
    longest = values.config.train.length if values.config is not None else 0
    failed = False
    for name, router in routers.items():
        findings = examine(router, values.seed, longest=longest)
        findings += examine_elsewhere(router, values.seed)
        Console().print(contract_table(name, findings), highlight=False)
        failed |= any(not finding.passed for finding in findings)
    return FAILED if failed else 0


def _of_config(config: ConfigDict, width: int | None) -> dict[str, Router]:
    routers = read_routers(config)
    names = {"token": config.router.name, "depth": config.depth.name}
    return {
        f"{names[slot]} in the {slot} slot": router(
            width=width or config.model.width, config=settings
        )
        for slot, (router, settings) in routers.items()
    }


def _of_target(target: str, width: int, given: list[str]) -> Router:
    try:
        router = load_router(target)
        config = router.config
        if given:
            if not dataclasses.is_dataclass(config) or isinstance(config, type):
                raise BadInput(f"--set={given[0]}: the router has no settings")
            config = dataclasses.replace(config, **_read_settings(config, given))
        return router(width=width, config=config)
    except BadInput as error:
        raise BadInput(f"{target}: {error}") from None
    except Exception as error:  # a router may raise anything
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise BadInput(f"{target}: {kind}{error}") from None


def _read_settings(config: Any, given: list[str]) -> dict[str, Any]:
    known = {field.name for field in dataclasses.fields(config)}
    found: dict[str, Any] = {}
    for one in given:
        name, equals, text = one.partition("=")
        if not equals or name not in known:
            raise BadInput(
                f"--set={one}: must be NAME=VALUE with one of the settings "
                f"{', '.join(sorted(known))}"
            )
        if name == "dtype":
            found[name] = read_dtype(text)
            continue
        try:
            found[name] = ast.literal_eval(text)
        except (SyntaxError, ValueError):
            found[name] = text
        now = getattr(config, name)
        if isinstance(now, float) and type(found[name]) is int:
            found[name] = float(found[name])
        if now is not None and type(found[name]) is not type(now):
            raise BadInput(
                f"--set={one}: must be of type {type(now).__name__}, like {now!r}"
            )
    return found
