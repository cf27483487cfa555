"""What people look at beside the record of a sweep: figures, routing, and the page."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from sweeps.engine.programs import CompiledSweep
from sweeps.engine.routing_examples import routing_by_value, routing_examples
from sweeps.engine.train import Trained
from sweeps.findings.results import Results
from sweeps.page.document import write_own_report
from sweeps.report.terminal import attempt, warn
from sweeps.storage import files


def make_pictures(
    workdir: Path,
    compiled: CompiledSweep,
    trained: Trained,
    results: Results,
    summary: dict[str, Any],
    console: Console,
) -> list[Path]:
    """Draws figures, keeps routing matrices, writes the page of a complete record.

    Args:
      workdir: Its work directory.
      compiled: Its programs and shared inputs.
      trained: The trained members.
      results: Their results.
      summary: Content of ``onset.json``.
      console: Where a warning is printed for each of the three that fails.

    Returns:
      Paths of the figures that were drawn.
    """
    inputs = np.asarray(compiled.shared.batch[0])[0]

    def draw() -> list[Path]:
        from sweeps.report.figures import draw_figures  # Matplotlib is slow to import

        shown = routing_examples(trained, results, summary, inputs)
        (folder := workdir / files.FIGURES).mkdir(exist_ok=True)
        tell = functools.partial(warn, console)
        return draw_figures(folder, summary, results, shown, tell)

    def keep() -> None:
        kept = routing_by_value(trained, results, inputs)
        files.write_arrays(workdir / files.ROUTING, kept)

    figures = attempt(console, "drawing the figures", draw) or []
    attempt(console, "keeping routing matrices", keep)
    attempt(console, "writing the report", lambda: write_own_report(workdir))
    return figures
