"""Runs a simulated study: shows progress, then writes or prints its document."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

Tell = Callable[[str], None]
"""Function that shows the reader what is being simulated."""


def run_study(
    tabulate: Callable[[int, int, Tell], Any],
    render: Callable[[Any, int, int], str],
    replicates: int,
    seed: int,
    output: Path | None,
) -> None:
    """Simulates a study, then writes its document or prints it.

    Args:
      tabulate: Makes the table from replicates and seed.
      render: Makes the document from the table, replicates and seed.
      replicates: Number of simulated sweeps in each cell.
      seed: Seed of all random numbers.
      output: File to write; None prints the document.
    """
    console = Console()
    start = time.perf_counter()
    with console.status("simulating") as status:
        table = tabulate(
            replicates, seed, lambda what: status.update(f"simulating: {what}")
        )
    text = render(table, replicates, seed)
    if output:
        output.write_text(text, encoding="utf-8")
        seconds = time.perf_counter() - start
        console.print(f"{seconds:.0f} s; wrote {output}", markup=False)
    else:
        print(text)
