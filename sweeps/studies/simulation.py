"""What the commands that simulate have in common: flags, progress, a document."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import flags
from rich.console import Console

Tell = Callable[[str], None]
"""Shows what is being simulated."""


class BadInput(ValueError):
    """A setting that cannot run; the message is one line for the user."""


def define_flags(values: flags.FlagValues, replicates: int) -> None:
    """Flags of a study.

    Args:
      values: that take them up.
      replicates: simulated sweeps per cell by default.
    """
    flags.DEFINE_integer(
        "replicates", replicates, "Sweeps per cell.", flag_values=values
    )
    flags.DEFINE_integer("seed", 0, "Of all random numbers.", flag_values=values)
    flags.DEFINE_string("output", None, "Markdown file to write.", flag_values=values)


def run_study(
    values: flags.FlagValues,
    simulate: Callable[[int, int, Tell], Any],
    render: Callable[[Any, int, int], str],
) -> int:
    """Simulates and writes the document, or prints it; returns the exit code.

    Args:
      values: of `define_flags`.
      simulate: makes the table from replicates and seed.
      render: makes the document from the table, replicates and seed.
    """
    if values.replicates < 1 or values.seed < 0:
        raise BadInput(
            f"--replicates={values.replicates} --seed={values.seed}: "
            "at least 1 and at least 0"
        )
    if values.output and not Path(values.output).parent.is_dir():
        raise BadInput(f"--output={values.output}: no such folder")
    console = Console()
    start = time.perf_counter()
    with console.status("simulating") as status:
        table = simulate(
            values.replicates,
            values.seed,
            lambda what: status.update(f"simulating: {what}"),
        )
    text = render(table, values.replicates, values.seed)
    if values.output:
        Path(values.output).write_text(text)
        console.print(f"{time.perf_counter() - start:.0f} s; wrote {values.output}")
    else:
        print(text)
    return 0
