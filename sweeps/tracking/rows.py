"""What is said in W&B, as plain values: rows, tables and summaries.

No name has a dot: W&B stores ``token.brake`` a second time as a ``brake`` inside of a
``token``, and a step metric of that name is then read as 0.
"""

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from sweeps.design.grid import Grid
from sweeps.findings.results import Results, quartiles
from sweeps.inference.diagnosis import Diagnosis
from sweeps.inference.parts import FLAGS
from sweeps.inference.snapshot import Snapshot
from sweeps.storage import files

STEP = "opt_step"
"""Step metric of the runs of members: optimiser steps."""
MOST_ROWS = 100_000
"""Largest number of rows of the members' table; W&B shows no more than 200,000."""

PAGE = "report.html"
"""The page of a sweep, where one was written."""

Row = dict[str, float]
Table = tuple[list[str], list[list[Any]]]
"""Names of columns, and rows."""


def plain_name(name: str) -> str:
    """A name as W&B has it, ``token_brake`` for ``token.brake``."""
    return name.replace(".", "_")


def member_rows(snapshot: Snapshot, collapsed: np.ndarray) -> list[Row]:
    """One row for each member: every finite number of the whole model."""
    numbers = {name: values[:, 0] for name, values in snapshot.model.items()}
    numbers["loss/train"] = snapshot.train_loss
    names = [plain_name(name) for name in numbers]
    columns = np.stack([np.asarray(v, np.float64) for v in numbers.values()], axis=1)
    return [
        {n: v for n, v in zip(names, row, strict=True) if np.isfinite(v)}
        | {
            STEP: snapshot.step,
            "outcome/collapsed": int(collapsed[member]),
            "outcome/diverged_step": int(snapshot.diverged[member]),
        }
        for member, row in enumerate(columns.tolist())
    ]


def member_configs(grid: Grid, fixed: dict[str, float]) -> list[dict[str, Any]]:
    """What sets each member apart: all knobs, and its seeds."""
    knobs = {plain_name(name): value for name, value in fixed.items()}
    return [
        knobs
        | {
            plain_name(grid.axis.knob): float(grid.swept[member]),
            "init_seed": int(grid.init_seed[member]),
            "data_seed": int(grid.data_seed[member]),
            "round": int(grid.round[member]),
        }
        for member in range(grid.members)
    ]


def diagnosed(diagnosis: Diagnosis | None, last: Snapshot) -> dict[str, np.ndarray]:
    """Measures ``[M]`` that only the diagnosis takes, of the network as it is."""
    if diagnosis is None:
        return {}
    found = {}
    for name in diagnosis.measures.keys() - last.model.keys():
        try:
            values, _ = diagnosis.model(name)
        except ValueError:  # the place of the hub has no number of the whole model
            continue
        found[name] = values[:, 0]
    return dict(sorted(found.items()))


def closing_rows(results: Results) -> list[Row]:
    """For each member, what is known at the end alone: diagnosis and other parts."""
    found = diagnosed(results.diagnosis, results.final)
    for part, course in results.outcomes.items():
        found[f"outcome/{FLAGS[part]}"] = course[-1].astype(float)
    return [
        {plain_name(n): float(v[m]) for n, v in found.items() if np.isfinite(v[m])}
        for m in range(results.experiment.grid.members)
    ]


def curve_row(point: dict[str, Any]) -> Row:
    """One entry of ``onset.json``'s curve as flat metrics ``onset/…``.

    Every spread of the entry is there, with its nulls, also those of the diagnosis.
    """
    alive = point["members"] - point["diverged"]
    numbers: dict[str, float | None] = {
        "collapse_fraction": point["collapsed"] / alive if alive else None,
        "collapse_fraction_low": point["fraction"]["low"],
        "collapse_fraction_high": point["fraction"]["high"],
        "diverged": point["diverged"],
    }
    for part, course in point["parts"].items():
        prefix = "step" if part == "concentration" else f"step_{part}"
        numbers[prefix] = course["onset_step"]["median"]
    spreads = {n: v for n, v in point.items() if isinstance(v, dict) and "median" in v}
    spreads |= {f"channel_{n}": v for n, v in point.get("channels", {}).items()}
    for name, spread in spreads.items():
        for statistic in ("median", "low", "high"):
            numbers[f"{name}_{statistic}"] = spread[statistic]
        for null, extremes in spread.get("nulls", {}).items():
            for end in ("low", "high"):
                numbers[f"{name}_null_{null}_{end}"] = extremes[end]
    for null, extremes in (point["nulls"] | point["diagnostic_nulls"]).items():
        numbers[f"null_{null}_high"] = extremes["high"]
    return {f"onset/{n}": float(v) for n, v in numbers.items() if v is not None}


def curve_rows(results: Results, summary: dict[str, Any]) -> list[Row]:
    """The onset curve: one row for each value of the knob, the knob first."""
    found = diagnosed(results.diagnosis, results.final)
    grid, alive = results.experiment.grid, results.final.alive
    rows = []
    for index, point in enumerate(summary["curve"]):
        chosen = alive & (grid.value == index)
        row = {plain_name(summary["knob"]): float(point["value"])} | curve_row(point)
        for name, values in found.items():
            for statistic, value in quartiles(values[chosen]).items():
                if value is not None:
                    row[f"onset/{plain_name(name)}_{statistic}"] = value
        rows.append(row)
    return rows


def as_table(rows: list[Row]) -> Table:
    """Rows as a table; what a row lacks is None."""
    columns = list(dict.fromkeys(itertools.chain.from_iterable(rows)))
    return columns, [[row.get(name) for name in columns] for row in rows]


def onset_table(summary: dict[str, Any]) -> Table:
    """One row for each part of the signature, with its onset and what it rests on."""
    keys = ("estimate", "low", "high", "censored", "direction", "midpoint", "units")
    onsets = _onsets(summary)
    if summary["post_hoc"]:
        onsets["post_hoc concentration"] = summary["post_hoc"]["onset"]
    return ["part", "knob", *keys], [
        [part, summary["knob"], *(onset[key] for key in keys)]
        for part, onset in onsets.items()
    ]


def onset_summary(summary: dict[str, Any]) -> dict[str, Any]:
    """The onset of each part as flat values ``critical/…``, those that exist."""
    onsets = {"": summary["onset"]} | {
        f"{part}/": onset
        for part, onset in _onsets(summary).items()
        if part != "concentration"
    }
    return {
        f"critical/{prefix}{name}": value
        for prefix, onset in onsets.items()
        for name, value in onset.items()
        if isinstance(value, int | float | str)
    } | {"router": summary["router"], "knob": summary["knob"]}


def _onsets(summary: dict[str, Any]) -> dict[str, Any]:
    """The onset of each defined part of the signature."""
    return {n: summary["parts"][n]["onset"] for n in FLAGS if n in summary["parts"]}


def members_table(results: Results) -> Table:
    """All members at every measured step, or at the last one if that were too many."""
    snapshots = list(enumerate(results.snapshots))
    experiment = results.experiment
    if len(snapshots) * experiment.grid.members > MOST_ROWS:
        snapshots = snapshots[-1:]
    configs = member_configs(experiment.grid, experiment.fixed)
    rows = [
        {"member": member, **config, **row}
        for index, snapshot in snapshots
        for member, (config, row) in enumerate(
            zip(
                configs,
                member_rows(snapshot, results.outcomes["concentration"][index]),
                strict=True,
            )
        )
    ]
    for row, more in zip(rows[-len(configs) :], closing_rows(results), strict=True):
        row |= more
    return as_table(rows)


def closing_content(
    results: Results, summary: dict[str, Any], figures: list[Path], workdir: Path
) -> dict[str, Any]:
    """What is said at the end of a sweep, but for the members' table."""
    curve = curve_rows(results, summary)
    record = [workdir / files.SUMMARY, workdir / PAGE]
    named = [(path, path.name) for path in record if path.is_file()]
    return {
        "curve": curve,
        "summary": onset_summary(summary),
        "closing": closing_rows(results),
        "tables": {"onset_table": onset_table(summary), "curve_table": as_table(curve)},
        "figures": figures,
        "files": named + [(path, f"{files.FIGURES}/{path.name}") for path in figures],
    }
