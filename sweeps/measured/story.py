"""A measurement from an opened model to findings: claim, pass, arrange, write."""

import contextlib
import dataclasses
import functools
import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ml_collections import ConfigDict
from rich.console import Console

from routers.pretrained import Model
from sweeps.design.grid import Grid
from sweeps.findings.results import Results
from sweeps.findings.summary import summarize_sweep
from sweeps.findings.table import make_table
from sweeps.inference.criterion import make_criterion
from sweeps.measured.asked import SLOT, Opened
from sweeps.measured.findings import Measurement, make_results, window_grid
from sweeps.measured.layers import layers_table
from sweeps.measured.passes import Passes
from sweeps.measured.rows import Row, make_rows
from sweeps.page.document import write_own_report
from sweeps.report.terminal import attempt, make_progress, print_findings, say, warn
from sweeps.runtime.interrupts import INTERRUPTS
from sweeps.runtime.numerics import fixed_numerics
from sweeps.runtime.stop_signal import StopSignal
from sweeps.storage import files
from sweeps.storage.manifest import amend_manifest, fingerprint, write_manifest
from sweeps.storage.workdir import claim, continues, hold, read_summary
from sweeps.tracking.opening import open_tracker
from train.published import FROZEN_AT, freezes

WINDOW = "window"
"""What the values of a knob have in common, in place of seeds."""
SWEPT = ("onset", "parts", "map_layers")
"""Figures of a sweep that say something where nothing is trained."""


def measure(
    opened: Opened, workdir: Path, console: Console, tracking: str
) -> dict[str, Any]:
    """Measures one published model, or what is left of it.

    Args:
      opened: What is measured.
      workdir: Directory that is claimed for this measurement; a complete one is only
        shown again.
      console: Where progress and findings are printed.
      tracking: Mode of Weights & Biases, as in ``wandb.mode`` of a sweep.

    Returns:
      The content of ``onset.json``.

    Raises:
      BadInput: the directory cannot be used; nothing was overwritten.
      Stopped: the measurement was interrupted; all complete passes are on disk.
      OSError: something could not be written.
    """
    asked, model, windows, values, neutral = opened
    numerics = fixed_numerics(functools.partial(warn, console))
    with numerics, contextlib.ExitStack() as held:
        config = ConfigDict(
            dataclasses.asdict(asked)
            | {"router": {"name": model.family}, "content": _digest(model)}
            | {"wandb": {"mode": tracking, "project": "", "entity": ""}}
        )
        # A model and texts are what is in them, wherever they are.
        own = config.copy_and_resolve_references()
        own.model, own.texts = "", ()
        mark = fingerprint(own, windows.tokens)
        at = neutral if neutral in values else values[0]
        held.enter_context(hold(workdir))
        # A launch that died before it drew the figures has left its passes behind.
        drawn = not (workdir / files.JOURNAL).exists()
        if claim(workdir, config, mark) and drawn:
            say(console, f"{workdir} already holds this measurement, complete:")
            summary = read_summary(workdir)
            table = pq.read_table(workdir / files.METRICS)
            _tell(console, table, summary, at)
            return summary
        write_manifest(workdir, config, mark, complete=False)
        fixed = {name: knob.neutral for name, knob in model.router.knobs.items()}
        name = asked.knob.removeprefix(f"{SLOT}.")
        rows, absent = make_rows(model, fixed, name, values, neutral)
        kind = model.geometry(asked.length).kind
        measurement = Measurement(
            grid=window_grid(asked.knob, values, asked.windows, windows.texts),
            kind=kind,
            criterion=make_criterion(kind, None, 0.99, 0.02),
            fixed={f"{SLOT}.{k}": v for k, v in fixed.items() if k != name},
        )
        tell = functools.partial(warn, console)
        tracker = open_tracker(
            config, model.family, measurement, workdir, mark, True, tell
        )
        tracker.begin(measurement.grid)
        started = time.monotonic()
        found = _run(opened, workdir, console, rows, mark)
        seconds = time.monotonic() - started
        results = make_results(measurement, rows, absent, found)
        summary = summarize_sweep(results, model.family, WINDOW)
        if any(freezes(model, dict(row.knobs)) for row in rows):
            summary["frozen_at"] = FROZEN_AT
        table = make_table(results)
        _write(workdir, config, mark, table, results.experiment.grid, summary, seconds)
        draw = functools.partial(_draw, console, workdir, summary, results, at)
        attempt(console, "drawing the figures", draw)
        attempt(console, "writing the report", lambda: write_own_report(workdir))
        amend_manifest(workdir, wandb=tracker.ids())
        tracker.finish(
            results, summary, sorted((workdir / files.FIGURES).glob("*.png"))
        )
        files.remove(workdir / files.JOURNAL)
    _tell(console, table, summary, at)
    return summary


def _tell(
    console: Console, table: pa.Table, summary: dict[str, Any], at: float
) -> None:
    """Prints the layers at one value of the knob, and the findings over its values."""
    console.print(layers_table(table, summary["knob"], at))
    print_findings(console, summary)


def _digest(model: Model) -> str:
    """What tells the model's files from others: their names and content."""
    path = Path(model.source.path)
    digest = hashlib.sha256()
    for file in sorted(path.glob("*.*")) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(file.name.encode())
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()[:16]


def _run(
    opened: Opened,
    workdir: Path,
    console: Console,
    rows: Sequence[Row],
    mark: str,
) -> dict[str, dict[str, np.ndarray]]:
    """What every pass found; passes that a launch before this one did are read."""
    asked, model, windows = opened.asked, opened.model, opened.windows
    journal = workdir / files.JOURNAL
    journal.mkdir(exist_ok=True)
    different = {row.name: row for row in reversed(rows)}
    passes = Passes(model, windows, asked.seed)
    found: dict[str, dict[str, np.ndarray]] = {}
    say(
        console,
        f"{asked.model}: {model.family}, {model.sizes.layers} layers, "
        f"{model.sizes.heads} heads; windows: {asked.windows} of {asked.length} "
        f"tokens; passes: {len(different)}; results go to {workdir}",
    )
    if any(freezes(model, dict(row.knobs)) for row in rows):
        say(console, f"{asked.knob} replaces what depends on the input by {FROZEN_AT}")
    with StopSignal() as stop, make_progress(console) as progress:
        bar = progress.add_task("layers", total=len(different) * model.sizes.layers)
        for name, row in reversed(different.items()):
            path = journal / f"{name}.npz"
            kept = _kept(path, mark)
            if kept is None:
                told = row.null or "as published"
                progress.update(bar, description=f"{told}; layers")

                def advance(index: int) -> None:
                    progress.advance(bar)

                kept = passes.run(row, advance)
                arrays: dict[str, Any] = {"mark": mark, **kept}
                with files.replacing(path) as file:
                    np.savez(file, **arrays)
                INTERRUPTS.saved = continues(workdir, "pass")
            else:
                progress.advance(bar, model.sizes.layers)
            found[name] = kept
            stop.check()
    return found


def _kept(path: Path, mark: str) -> dict[str, np.ndarray] | None:
    """What a pass found, from the journal; None if it is not there or damaged."""
    try:
        with path.open("rb") as opened, np.load(opened) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception:  # the readers of damaged files may raise anything
        return None
    return arrays if str(arrays.pop("mark", "")) == mark else None


def _write(
    workdir: Path,
    config: ConfigDict,
    mark: str,
    table: pa.Table,
    grid: Grid,
    summary: dict[str, Any],
    seconds: float,
) -> None:
    files.write_parquet(workdir / files.METRICS, table)
    files.write_json(workdir / files.SUMMARY, summary)
    write_manifest(
        workdir,
        config,
        mark,
        complete=True,
        members=grid.plain(),
        seconds={"all": seconds},
    )


def _draw(
    console: Console,
    workdir: Path,
    summary: dict[str, Any],
    results: Results,
    at: float,
) -> None:
    # Matplotlib is slow to import.
    from sweeps.measured.figures import draw_layers
    from sweeps.report.figures import draw_figures

    (folder := workdir / files.FIGURES).mkdir(exist_ok=True)
    if len(summary["curve"]) > 1:
        tell = functools.partial(warn, console)
        draw_figures(folder, summary, results, [], tell, SWEPT)
    draw_layers(folder / "layers.png", summary["router"], results, at)
