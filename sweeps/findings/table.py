"""The tidy table of a sweep, ``metrics.parquet``: one number in each row."""

from typing import Any

import numpy as np
import pyarrow as pa

from routers.signature.nulls import VARIANTS
from routers.signature.reduction import HUB
from sweeps.design.experiment import Experiment
from sweeps.findings.results import Results
from sweeps.inference.diagnosis import Diagnosis, mean, most_common
from sweeps.inference.parts import FLAGS, part_outcomes
from sweeps.inference.snapshot import Snapshot

WHOLE_MODEL = -1
"""Layer and head of a number that belongs to the whole model, and head of one that
belongs to a whole layer."""
AGREEMENT = "concentration/hub_agreement"
"""Share of the sequences whose hub is the most common one."""


def make_table(results: Results) -> pa.Table:
    """All measurements and the diagnosis.

    Beside each value stand the criterion's quantile and its mirror image, ``high`` and
    ``low``, over sequences x seeds at the same knob value that have not diverged; NaN
    where only means were kept.
    """
    experiment, final = results.experiment, results.final
    parts = []
    for index, snapshot in enumerate(results.snapshots):
        outcomes = {part: course[index] for part, course in results.outcomes.items()}
        parts += _measured_rows(experiment, snapshot, outcomes)
    parts += _layer_rows(results)
    if results.diagnosis is not None:
        parts += _diagnosed_rows(experiment, results.diagnosis, final)
    return pa.concat_tables(parts)


def _measured_rows(
    experiment: Experiment, snapshot: Snapshot, outcomes: dict[str, np.ndarray]
) -> list[pa.Table]:
    def block(
        metric: str,
        value: np.ndarray,
        null: str,
        where: tuple[int, int] | None = None,
        spread: np.ndarray | None = None,
    ) -> pa.Table:
        spread = _sound(spread, snapshot)
        return _block(experiment, snapshot.step, metric, value, null, where, spread)

    parts = [
        block("loss/train", snapshot.train_loss, ""),
        *(block(f"outcome/{FLAGS[part]}", o, "") for part, o in outcomes.items()),
        block("outcome/diverged_step", snapshot.diverged, ""),
    ]
    for index, null in enumerate(VARIANTS):
        for metric, value in snapshot.model.items():
            if null and np.isnan(value[:, index]).all():
                continue  # of the brake alone, at the first and last step only
            spread = snapshot.spread[metric][:, index]
            parts.append(block(metric, value[:, index], null, spread=spread))
        for metric, value in snapshot.layers.items():
            if null and np.isnan(value[:, index]).all():
                continue
            for layer, head in np.ndindex(value.shape[2:]):
                here = value[:, index, layer, head]
                parts.append(block(metric, here, null, (layer, head)))
    return parts


def _layer_rows(results: Results) -> list[pa.Table]:
    """Which layers show each part at the last step, where onset in depth is taken."""
    final = results.final
    found = part_outcomes(results.judge, final, by_layer=True)
    return [
        _block(
            results.experiment,
            final.step,
            f"outcome/{FLAGS[part]}",
            outcome[:, layer],
            "",
            (layer, WHOLE_MODEL),
            None,
        )
        for part, outcome in found.items()
        for layer in range(outcome.shape[1])
    ]


def _diagnosed_rows(
    experiment: Experiment, diagnosis: Diagnosis, last: Snapshot
) -> list[pa.Table]:
    """The diagnosis, without what the last measurement already holds."""
    parts: list[pa.Table] = []

    def add(
        metric: str,
        value: np.ndarray,
        null: int,
        where: tuple[int, int] | None = None,
        spread: np.ndarray | None = None,
    ) -> None:
        name, step = diagnosis.nulls[null], diagnosis.step
        spread = _sound(spread, last)
        parts.append(_block(experiment, step, metric, value, name, where, spread))

    for metric, values in diagnosis.measures.items():
        hub = metric == HUB
        mode, share = most_common(values) if hub else (mean(values), None)
        for null, name in enumerate(diagnosis.nulls):
            if metric in last.layers and name in VARIANTS:
                continue
            if name and np.isnan(values[:, null]).all():
                continue  # random logits mix nothing, so there is no output to measure
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


def _sound(spread: np.ndarray | None, snapshot: Snapshot) -> np.ndarray | None:
    """Samples ``[M, E]``, NaN for members that have diverged."""
    return None if spread is None else np.where(snapshot.alive[:, None], spread, np.nan)


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
    """One metric of all members in one layer and head, as rows of the tidy table."""
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
