"""What a sweep measured, collected chunk by chunk and written as tidy tables."""

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from routers.signature.nulls import VARIANTS
from routers.signature.reduction import HUB
from sweeps.design.experiment import Experiment
from sweeps.design.grid import join_grids
from sweeps.inference.criterion import Snapshot, collapsed, join_snapshots, onset_steps
from sweeps.inference.diagnosis import Diagnosis, mean, most_common
from sweeps.inference.refine import Course

WHOLE_MODEL = -1
AGREEMENT = "concentration/hub_agreement"
"""Share of the sequences whose hub is the most common one."""


class Results:
    """The measurements of one sweep so far.

    Attributes:
      experiment: what is measured.
      snapshots: one per measured step, step 0 first.
      outcomes: which members were collapsed, bool ``[M]``, one per snapshot.
      diagnosis: the full signature at the end, or None.
      refinement: how the axis was refined, or None.
    """

    def __init__(self, experiment: Experiment) -> None:
        """Starts empty."""
        self.experiment = experiment
        self.snapshots: list[Snapshot] = []
        self.outcomes: list[np.ndarray] = []
        self.diagnosis: Diagnosis | None = None
        self.refinement: Course | None = None

    def add(self, snapshot: Snapshot) -> None:
        """Appends one measurement and judges its members."""
        self.snapshots.append(snapshot)
        grid, criterion = self.experiment.grid, self.experiment.criterion
        self.outcomes.append(
            collapsed(snapshot, self.snapshots[0], grid.value, criterion)
        )

    @property
    def steps(self) -> list[int]:
        """Measured steps."""
        return [snapshot.step for snapshot in self.snapshots]

    @property
    def onset_steps(self) -> np.ndarray:
        """First measured step at which each member is collapsed, NaN if never."""
        return onset_steps(self.outcomes, self.steps)

    def outcome_by_unit(self, outcome: np.ndarray | None = None) -> np.ndarray:
        """Final outcomes ``[units, values]``: 1, 0, or NaN for diverged members.

        Args:
          outcome: bool ``[M]``; who is collapsed at the last step by default.
        """
        grid = self.experiment.grid
        outcome = self.outcomes[-1] if outcome is None else outcome
        alive = self.snapshots[-1].diverged < 0
        table = np.full((grid.unit.max() + 1, len(grid.axis.values)), np.nan)
        table[grid.unit, grid.value] = np.where(alive, outcome.astype(float), np.nan)
        return table

    def table(self) -> pa.Table:
        """All measurements and the diagnosis, tidy: one number a row.

        Beside a value stand the criterion's quantile and its mirror image, ``high``
        and ``low``, over sequences x seeds at the same knob value; NaN where only
        means were kept.
        """
        parts = [
            part
            for snapshot, outcome in zip(self.snapshots, self.outcomes, strict=True)
            for part in _rows(self.experiment, snapshot, outcome)
        ]
        if self.diagnosis is not None:
            parts += _diagnosed_rows(
                self.experiment, self.diagnosis, self.snapshots[-1]
            )
        return pa.concat_tables(parts)


def join_results(turns: Sequence[Results]) -> Results:
    """All members of turns of one sweep, in this order.

    A value's members stand in one turn, so that each is judged by the nulls of its
    own value as it was there.
    """
    first = turns[0].experiment
    grid = join_grids([turn.experiment.grid for turn in turns])
    results = Results(dataclasses.replace(first, grid=grid))
    for parts in zip(*(turn.snapshots for turn in turns), strict=True):
        results.add(join_snapshots(parts))
    return results


def _rows(
    experiment: Experiment, snapshot: Snapshot, outcome: np.ndarray
) -> list[pa.Table]:
    def block(
        metric: str,
        value: np.ndarray,
        null: str,
        where: tuple[int, int] | None = None,
        spread: np.ndarray | None = None,
    ) -> pa.Table:
        return _block(experiment, snapshot.step, metric, value, null, where, spread)

    parts = [
        block("loss/train", snapshot.train_loss, ""),
        block("outcome/collapsed", outcome, ""),
        block("outcome/diverged_step", snapshot.diverged, ""),
    ]
    for index, null in enumerate(VARIANTS):
        for metric, value in snapshot.model.items():
            if null and np.isnan(value[:, index]).all():
                continue  # ranks of nulls are taken at both ends only
            spread = snapshot.spread[metric][:, index]
            parts.append(block(metric, value[:, index], null, spread=spread))
        for metric, value in snapshot.layers.items():
            if null and np.isnan(value[:, index]).all():
                continue
            for layer, head in np.ndindex(value.shape[2:]):
                here = value[:, index, layer, head]
                parts.append(block(metric, here, null, (layer, head)))
    return parts


def _diagnosed_rows(
    experiment: Experiment, diagnosis: Diagnosis, last: Snapshot
) -> list[pa.Table]:
    """What the last measurement does not already hold, over more sequences."""
    parts: list[pa.Table] = []

    def add(
        metric: str,
        value: np.ndarray,
        null: int,
        where: tuple[int, int] | None = None,
        spread: np.ndarray | None = None,
    ) -> None:
        name, step = diagnosis.nulls[null], diagnosis.step
        parts.append(_block(experiment, step, metric, value, name, where, spread))

    for metric, values in diagnosis.measures.items():
        hub = metric == HUB
        mode, share = most_common(values) if hub else (mean(values), None)
        for null, name in enumerate(diagnosis.nulls):
            if metric in last.layers and name in VARIANTS:
                continue
            if name and np.isnan(values[:, null]).all():
                continue  # random logits mix nothing, so have no output to measure
            if not hub:
                model, spread = diagnosis.model(metric)
                add(metric, model[:, null], null, spread=spread[:, null])
            for layer, head in np.ndindex(values.shape[3:]):
                at = (layer, head)
                every = None if hub else values[:, null, :, layer, head]
                add(metric, mode[:, null, layer, head], null, at, every)
                if share is not None:
                    add(AGREEMENT, share[:, null, layer, head], null, at)
    return parts


def _quantiles(
    experiment: Experiment, spread: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Low and high quantile over sequences x seeds at each member's value, ``[M]``."""
    level, value = experiment.criterion.quantile, experiment.grid.value
    low, high = np.full((2, len(value)), np.nan)
    for index in np.unique(value):
        chosen = value == index
        samples = spread[chosen][np.isfinite(spread[chosen])]
        if len(samples):
            low[chosen], high[chosen] = np.quantile(samples, (1 - level, level))
    return low, high


def _block(
    experiment: Experiment,
    step: int,
    metric: str,
    value: np.ndarray,
    null: str,
    where: tuple[int, int] | None,
    spread: np.ndarray | None,
) -> pa.Table:
    """One metric of all members at one place, as rows of the tidy table."""
    grid = experiment.grid
    members = grid.members
    layer, head = where or (WHOLE_MODEL, WHOLE_MODEL)
    low, high = np.full((2, members), np.nan)
    if spread is not None:
        low, high = _quantiles(experiment, spread)

    def constant(item: Any, kind: pa.DataType) -> pa.Array:
        return pa.repeat(pa.scalar(item, kind), members)

    knobs = {name: np.full(members, v) for name, v in experiment.fixed.items()}
    knobs[grid.axis.knob] = grid.swept
    columns = {
        "member": pa.array(np.arange(members), pa.int32()),
        **{name: pa.array(knobs[name], pa.float32()) for name in sorted(knobs)},
        "init_seed": pa.array(grid.init_seed, pa.int32()),
        "data_seed": pa.array(grid.data_seed, pa.int32()),
        "step": constant(step, pa.int32()),
        "layer": constant(layer, pa.int32()),
        "head": constant(head, pa.int32()),
        "metric": constant(metric, pa.string()),
        "value": pa.array(np.asarray(value, np.float32), pa.float32()),
        "null": constant(null, pa.string()),
        "low": pa.array(low, pa.float32()),
        "high": pa.array(high, pa.float32()),
    }
    return pa.table(columns)


def quartiles(values: np.ndarray) -> dict[str, float | None]:
    """Median and quartiles over the finite values, None where there are none."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return {"median": None, "low": None, "high": None}
    low, median, high = np.quantile(finite, (0.25, 0.5, 0.75))
    return {"median": float(median), "low": float(low), "high": float(high)}


def write_json(path: Path, content: Any) -> None:
    """Writes JSON atomically; a reader sees the old file or the new one."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")
    os.replace(temporary, path)


def write_parquet(path: Path, table: pa.Table) -> None:
    """Writes a Parquet file atomically, strings dictionary-encoded."""
    temporary = path.with_name(f".{path.name}.tmp")
    pq.write_table(table, temporary, compression="zstd")
    os.replace(temporary, path)
