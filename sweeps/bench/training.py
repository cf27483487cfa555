"""onset bench --what=sweep: all ways to train the same members, in one table.

Memory is measured first, with each contestant alone in a process of its own. A
contestant that does not fit fails there and is not tried again. Then all others are
compiled in this process and timed alternately in rounds, while no other process of the
benchmark is running.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sweeps.bench.contestants import (
    BASE,
    ChunkTrainer,
    Contestant,
    Start,
    Trainer,
    draw_start,
    list_contestants,
)
from sweeps.bench.memory import Peak, one_line, peak_memory
from sweeps.bench.timing import TIMING_ROUNDS, time_alternately
from sweeps.design.experiment import Experiment
from sweeps.design.grid import make_grid
from sweeps.engine.vmap_width import with_width
from sweeps.runtime.placement import Placement, choose_placement, cores

LEAST_SECONDS = 0.5
"""Minimum time of a contestant in each round: a few chunks of one member."""
REFERENCE = 16
"""Number of members with which the time per member-step of others is compared."""
DRAWN = (1, 4, 16, 64, 256)
"""Numbers of members in the figure."""
NONE = "–"
COLUMNS = (
    "program",
    "least",
    "median",
    "most",
    "/ eager",
    "peak MB",
    "round MB",
)
GROWTH = ("members", "placement", "member-steps/s", "µs, median")
LEGEND = (
    "a × b: a devices with b members at once on each. / eager: rate relative to "
    f"{BASE}, as the median of the ratios within a round. peak MB: peak memory of the "
    "process, including compilation, above the level after imports. round MB: memory "
    "that a later round adds while it runs."
)


@dataclasses.dataclass(frozen=True)
class Sheet:
    """A table for the terminal and for a Markdown file.

    Attributes:
      title: Line above the table.
      columns: Headings of the columns.
      rows: Cells of each row.
      notes: Lines below the table.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def bench_sweep(
    experiment: Experiment,
    config: ConfigDict,
    counts: Sequence[int],
    command: str,
    output: Path | None,
    figure: Path | None,
) -> None:
    """Measures, then prints and writes the tables.

    Args:
      experiment: Experiment with as many members as the first count, on one data
        stream, for one chunk.
      config: Config from which it was built.
      counts: Numbers of members to compare.
      command: Command line that is written above the tables.
      output: File for the tables as Markdown, or None.
      figure: File for the figure of time against members, or None.

    Raises:
      ValueError: The devices do not exist or the placement is not possible.
    """
    console = Console()
    planned = _planned(experiment, config)
    sheets = [_compare(experiment, config, planned, console)]
    counts = sorted({*counts, *(DRAWN if figure else ())})
    if len(counts) > 1:
        seconds, sheet = _growth(experiment, config, counts, console)
        sheets.append(sheet)
        if figure:
            from sweeps.bench.scaling import draw_scaling

            draw_scaling(figure, counts, seconds, REFERENCE)
    for sheet in sheets:
        _print(console, sheet)
    if output:
        body = "\n\n".join(markdown(sheet) for sheet in sheets)
        output.write_text(f"    {command}\n\n{body}\n")


def _planned(experiment: Experiment, config: ConfigDict) -> Placement:
    """The placement that a sweep of these members would have."""
    sweep = config.sweep
    placement = choose_placement(
        sweep.devices, sweep.width, experiment.grid.members, sweep.data
    )
    if sweep.width:
        return placement
    return with_width(experiment, placement)[0]


def _compare(
    experiment: Experiment, config: ConfigDict, planned: Placement, console: Console
) -> Sheet:
    contestants = list_contestants(experiment, planned)
    start = draw_start(experiment)
    failures = {one.name: one.missing for one in contestants if one.missing}
    peaks: dict[str, Peak] = {}
    ready = [one for one in contestants if not one.missing]
    on_host = jax.default_backend() == "cpu"
    for one in ready if on_host else ():
        with console.status(f"measuring memory: {one.name}"):
            peaks[one.name] = peak_memory(config, planned, start, one.name)
        if peaks[one.name].failure:
            failures[one.name] = peaks[one.name].failure
    trainers: dict[str, Trainer] = {}
    for one in ready:
        if one.name not in failures:
            with console.status(f"compiling: {one.name}"):
                _try(one, start, trainers, failures)
    with console.status("timing"):
        seconds = _time(list(trainers.values()))
    timed = dict(zip(trainers, seconds.T, strict=True))
    work = experiment.grid.members * experiment.steps
    rows = [
        _row(one.name, work, timed, peaks, failures.get(one.name, ""))
        for one in contestants
    ]
    title = (
        f"Member-steps per second, {experiment.grid.members} members, {TIMING_ROUNDS} "
        f"rounds of {experiment.steps} steps, {cores()} CPU cores"
    )
    notes = [LEGEND]
    if BASE not in timed:
        notes.append(
            f"There are no ratios, because {BASE!r} did not run: {failures[BASE]}."
        )
    if not on_host:
        notes.append("Memory is measured on CPUs only.")
    return Sheet(title, COLUMNS, rows, notes)


def _try(
    contestant: Contestant,
    start: Start,
    trainers: dict[str, Trainer],
    failures: dict[str, str],
) -> None:
    """Adds either a trainer that has trained once or the reason of the failure."""
    try:
        contestant.load()
        trainer = contestant.build(start)
        trainer.train()
    # Whatever a contestant or its library raises becomes a row of the table.
    except Exception as error:
        failures[contestant.name] = one_line(error)
    else:
        trainers[contestant.name] = trainer


def _time(trainers: Sequence[Trainer]) -> np.ndarray:
    """Seconds per chunk, ``[TIMING_ROUNDS, trainers]``."""
    return time_alternately([trainer.train for trainer in trainers], LEAST_SECONDS)


def _row(
    name: str,
    work: int,
    timed: dict[str, np.ndarray],
    peaks: dict[str, Peak],
    failure: str,
) -> list[str]:
    if failure:
        return [f"{name}: not run: {failure}", *[NONE] * (len(COLUMNS) - 1)]
    rates = work / timed[name]
    cells = [f"{f(rates):.0f}" for f in (np.min, np.median, np.max)]
    ratio = NONE
    if BASE in timed:
        # Ratios within a round: other load that lasts longer than a round cancels.
        ratio = f"{np.median(timed[BASE] / timed[name]):.2f}"
    peak = peaks.get(name, Peak())
    memory = [f"{mb:.0f}" if mb == mb else NONE for mb in (peak.whole, peak.round)]
    return [name, *cells, ratio, *memory]


def _growth(
    experiment: Experiment, config: ConfigDict, counts: Sequence[int], console: Console
) -> tuple[np.ndarray, Sheet]:
    """Seconds per member-step ``[TIMING_ROUNDS, counts]``, and a table of them."""
    trainers: list[Trainer] = []
    layouts = []
    for count in counts:
        grid = make_grid(experiment.grid.axis, count, 1)
        one = dataclasses.replace(experiment, grid=grid)
        placement = _planned(one, config)
        with console.status(f"compiling: {count} members"):
            trainers.append(ChunkTrainer(one, placement))
            trainers[-1].train()
        layouts.append(f"{placement.devices} × {placement.width}")
    with console.status("timing"):
        seconds = _time(trainers)
    seconds = seconds / (np.asarray(counts)[None] * experiment.steps)
    reference = counts.index(REFERENCE) if REFERENCE in counts else 0
    relative = np.median(seconds / seconds[:, [reference]], axis=0)
    rows = [
        [
            str(count),
            layout,
            f"{1 / middle:.0f}",
            f"{1e6 * middle:.0f}",
            f"{ratio:.2f}",
        ]
        for count, layout, middle, ratio in zip(
            counts, layouts, np.median(seconds, axis=0), relative, strict=True
        )
    ]
    columns = (*GROWTH, f"/ that of {counts[reference]}")
    title = f"Onset: time per member-step, {TIMING_ROUNDS} rounds"
    return seconds, Sheet(title, columns, rows)


def markdown(sheet: Sheet) -> str:
    """Renders a table as Markdown."""
    lines = [
        _line(sheet.columns),
        _line(["---", *["---:"] * (len(sheet.columns) - 1)]),
        *(_line(row) for row in sheet.rows),
    ]
    table = "\n".join(lines)
    return "\n\n".join([f"{sheet.title}:", table, *sheet.notes])


def _line(cells: Sequence[Any]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _print(console: Console, sheet: Sheet) -> None:
    table = Table(title=sheet.title)
    for index, heading in enumerate(sheet.columns):
        table.add_column(heading, justify="right" if index else "left")
    for row in sheet.rows:
        table.add_row(*map(escape, row))
    console.print(table, highlight=False)
    for note in sheet.notes:
        console.print(escape(note), highlight=False)
