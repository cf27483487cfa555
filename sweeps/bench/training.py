"""onset bench --what=sweep: every way to train the same members, in one table.

Memory is measured first, each program alone in a process of its own; one that does not
fit has failed there and is not tried again. Then all are compiled in this process and
timed in rounds, each round all of them in turn, with no other process of ours at work.
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
from sweeps.bench.timing import ROUNDS, time_in_turn
from sweeps.design.experiment import Experiment
from sweeps.design.grid import make_grid
from sweeps.engine.vmap_width import with_width
from sweeps.runtime.placement import Placement, choose_placement, cores

LEAST_SECONDS = 0.5
"""Of a turn: a few chunks of one member, one of many."""
REFERENCE = 16
"""Members whose time per step of one member the others' is set against."""
DRAWN = (1, 4, 16, 64, 256)
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
    f"a × b: devices × members at once on each. / eager: ratio to {BASE}, the median "
    "of those within a round. peak MB: of the process, compiling included, above that "
    "after imports. round MB: what a later round adds while it runs."
)


@dataclasses.dataclass(frozen=True)
class Sheet:
    """A table, for the terminal and for a file.

    Attributes:
      title: above it.
      columns: their headings.
      rows: of cells.
      notes: lines below it.
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
    """Measures, prints and writes.

    Args:
      experiment: as many members as the first count, on one data stream, one chunk.
      config: that it was built from.
      counts: of members.
      command: that is written above the tables.
      output: file for the tables as Markdown.
      figure: file for the growth over members.

    Raises:
      ValueError: no such devices, or a placement that is not one.
    """
    console = Console()
    planned = _planned(experiment, config)
    sheets = [_compare(experiment, config, planned, console)]
    counts = sorted({*counts, *(DRAWN if figure else ())})
    if len(counts) > 1:
        seconds, sheet = _growth(experiment, config, counts, console)
        sheets.append(sheet)
        if figure:
            from sweeps.report.throughput import draw_scaling

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
    programs = list_contestants(experiment, planned)
    start = draw_start(experiment)
    failures = {p.name: p.missing for p in programs if p.missing}
    peaks: dict[str, Peak] = {}
    ready = [p for p in programs if not p.missing]
    on_host = jax.default_backend() == "cpu"
    for program in ready if on_host else ():
        with console.status(f"memory: {program.name}"):
            peaks[program.name] = peak_memory(config, planned, start, program.name)
        if peaks[program.name].failure:
            failures[program.name] = peaks[program.name].failure
    trainers: dict[str, Trainer] = {}
    for program in ready:
        if program.name not in failures:
            with console.status(f"compiling: {program.name}"):
                _try(program, start, trainers, failures)
    with console.status("timing"):
        seconds = _time(list(trainers.values()))
    timed = dict(zip(trainers, seconds.T, strict=True))
    work = experiment.grid.members * experiment.steps
    rows = [
        _row(program.name, work, timed, peaks, failures.get(program.name, ""))
        for program in programs
    ]
    title = (
        f"Member-steps per second, {experiment.grid.members} members, {ROUNDS} rounds "
        f"of {experiment.steps} steps, {cores()} CPU cores"
    )
    notes = [LEGEND]
    if BASE not in timed:
        notes.append(f"no ratios, whose base did not run: {BASE}: {failures[BASE]}")
    if not on_host:
        notes.append("memory is measured on CPUs only")
    return Sheet(title, COLUMNS, rows, notes)


def _try(
    program: Contestant,
    start: Start,
    trainers: dict[str, Trainer],
    failures: dict[str, str],
) -> None:
    """Adds what a program comes to: a trainer that has trained once, or why not."""
    try:
        program.load()
        trainer = program.build(start)
        trainer.train()
    # Whatever a program or a library under it raises is a row, not an end.
    except Exception as error:
        failures[program.name] = one_line(error)
    else:
        trainers[program.name] = trainer


def _time(trainers: Sequence[Trainer]) -> np.ndarray:
    """Seconds of a chunk, ``[ROUNDS, trainers]``."""
    return time_in_turn([trainer.train for trainer in trainers], LEAST_SECONDS)


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
        # Of ratios within a round: load that lasts longer than a round cancels.
        ratio = f"{np.median(timed[BASE] / timed[name]):.2f}"
    peak = peaks.get(name, Peak())
    memory = [f"{mb:.0f}" if mb == mb else NONE for mb in (peak.whole, peak.round)]
    return [name, *cells, ratio, *memory]


def _growth(
    experiment: Experiment, config: ConfigDict, counts: Sequence[int], console: Console
) -> tuple[np.ndarray, Sheet]:
    """Seconds of a step of one member ``[ROUNDS, counts]``, and their table."""
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
    title = f"Onset: time of one step of one member, {ROUNDS} rounds"
    return seconds, Sheet(title, columns, rows)


def markdown(sheet: Sheet) -> str:
    """A table as Markdown."""
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
