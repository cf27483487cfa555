"""onset check: runs the executable contract on any router and says what failed.

    onset check PACKAGE.MODULE:ROUTER [--width=16] [--seed=0]
    onset check NAME

NAME is a key of routers.ROUTERS, or a name that an installed package offers under the
entry-point group onset.routers. The exit code is 1 if any check fails.
"""

from absl import flags
from rich.console import Console

from routers.contract import examine
from sweeps.design.parse import load_router
from sweeps.errors import BadInput
from sweeps.report.terminal import contract_table

FAILED = 1


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this command."""
    flags.DEFINE_integer(
        "width", 16, "Width of the model in the checks.", flag_values=values
    )
    flags.DEFINE_integer(
        "seed", 0, "Seed of the parameters and the input.", flag_values=values
    )


def command(values: flags.FlagValues, target: str | None = None) -> int:
    """Runs the command; returns its exit code."""
    if target is None:
        raise BadInput("name the router to check: PACKAGE.MODULE:ROUTER, or a name")
    if values.width < 1:
        raise BadInput(f"--width={values.width}: must be at least 1")
    try:
        router = load_router(target)(width=values.width)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{target}: {error}") from None
    findings = examine(router, values.seed)
    Console().print(contract_table(target, findings), highlight=False)
    return FAILED if any(not finding.passed for finding in findings) else 0
