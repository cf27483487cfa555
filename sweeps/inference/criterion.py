"""From measurements to outcomes: each member's numbers, its nulls, collapsed or not.

A measure of every layer and head becomes the model's one number by the extreme that
`routers.signature.REDUCE` names; every null takes the same extreme. *Collapsed*
means concentration above a threshold **and** above a high quantile of three criterion
nulls (uniform, brake only, untrained), over sequences x seeds at the same knob
value, by a margin.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from routers.signature import CONCENTRATION, REDUCE
from routers.signature.nulls import UNTRAINED, VARIANTS

NULLS = (*VARIANTS[1:], UNTRAINED)
LOSS = "loss/held_out"
ACCURACY = "accuracy/held_out"


@dataclasses.dataclass(frozen=True)
class Criterion:
    """What "collapsed" means.

    Attributes:
      metric: the measure of concentration that is judged.
      threshold: which it must exceed.
      quantile: of each criterion null that it must also exceed.
      margin: by this much.
    """

    metric: str
    threshold: float
    quantile: float = 0.99
    margin: float = 0.02

    def __post_init__(self) -> None:
        if not 0 < self.quantile < 1:
            raise ValueError(f"criterion.quantile={self.quantile}: between 0 and 1")
        if not 0 <= self.margin < 1:
            raise ValueError(f"criterion.margin={self.margin}: in [0, 1)")


def make_criterion(
    kind: str, threshold: float | None, quantile: float, margin: float
) -> Criterion:
    """The criterion of a geometry kind, with its default threshold where None.

    Raises:
      ValueError: a threshold or margin that no measure could meet or miss.
    """
    metric, default = CONCENTRATION[kind]
    if threshold is None:
        threshold = default
    high = 1.0 if metric == "concentration/hub_mass" else np.inf
    if not 0 < threshold < high:
        raise ValueError(
            f"criterion.threshold={threshold}: between 0 and {high:g} for {metric}"
        )
    return Criterion(metric, threshold, quantile, margin)


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """One measurement of all members.

    Attributes:
      step: optimiser steps taken.
      layers: measures ``[M, R, L, H]``, means over sequences; R counts `VARIANTS`.
      model: the model's number of each measure, ``[M, R]``; also held-out loss.
      spread: the same per sequence, ``[M, R, E]``, for quantiles of nulls.
      train_loss: mean training loss since the last measurement, ``[M]``.
      diverged: the step at which a member froze, or -1, ``[M]``.
    """

    step: int
    layers: Mapping[str, np.ndarray]
    model: Mapping[str, np.ndarray]
    spread: Mapping[str, np.ndarray]
    train_loss: np.ndarray
    diverged: np.ndarray


def _absolute_maximum(values: np.ndarray, axis: tuple[int, int]) -> np.ndarray:
    high, low = values.max(axis), values.min(axis)
    return np.where(-low > high, low, high)


_EXTREMES: Mapping[str, Callable[..., np.ndarray]] = {
    "max": np.max,
    "min": np.min,
    "mean": np.mean,
    "absmax": _absolute_maximum,
}


def summarize(
    step: int,
    measures: Mapping[str, np.ndarray],
    train_loss: np.ndarray,
    diverged: np.ndarray,
) -> Snapshot:
    """Reduces raw measures ``[M, R, E, L, H]`` (held-out loss ``[M, R, E]``)."""
    layers, model, spread = {}, {}, {}
    for name, values in measures.items():
        if name in (LOSS, ACCURACY):
            model[name], spread[name] = values.mean(-1), values
            continue
        extreme = _EXTREMES[REDUCE[name]]
        layers[name] = values.mean(2)
        model[name] = extreme(layers[name], (-2, -1))
        spread[name] = extreme(values, (-2, -1))
    return Snapshot(step, layers, model, spread, train_loss, diverged)


def join_snapshots(parts: Sequence[Snapshot]) -> Snapshot:
    """One measurement of members that were measured apart, in this order."""

    def joined(field: str) -> dict[str, np.ndarray]:
        tables = [getattr(part, field) for part in parts]
        return {name: np.concatenate([t[name] for t in tables]) for name in tables[0]}

    return Snapshot(
        step=parts[0].step,
        layers=joined("layers"),
        model=joined("model"),
        spread=joined("spread"),
        train_loss=np.concatenate([part.train_loss for part in parts]),
        diverged=np.concatenate([part.diverged for part in parts]),
    )


def null_samples(
    name: str, now: Snapshot, start: Snapshot, chosen: np.ndarray
) -> dict[str, np.ndarray]:
    """A measure under every criterion null, per sequence, for some members.

    Args:
      name: of the measure.
      now: the measurement whose nulls are wanted.
      start: the measurement at step 0, the untrained null.
      chosen: bool ``[M]``, members at one knob value.

    Returns:
      Null name to flat samples over sequences x members.
    """
    samples = {
        null: now.spread[name][chosen, index].ravel()
        for index, null in enumerate(VARIANTS)
        if null
    }
    samples[UNTRAINED] = start.spread[name][chosen, 0].ravel()
    return samples


def null_bar(
    name: str,
    now: Snapshot,
    start: Snapshot,
    value: np.ndarray,
    quantile: float,
    nulls: Sequence[str] = NULLS,
) -> np.ndarray:
    """The most extreme quantile among nulls of a measure at each member's value.

    Args:
      name: of the measure.
      now: the measurement to judge.
      start: the measurement at step 0.
      value: index of each member's knob value, ``[M]``.
      quantile: above one half the largest of the nulls' quantiles is taken, else the
        least.
      nulls: by name.

    Returns:
      ``[M]``; infinite, and no bar, where a null has no finite sample.
    """
    most = quantile > 0.5
    extreme, nothing = (max, -np.inf) if most else (min, np.inf)
    result = np.empty(len(value))
    for index in np.unique(value):
        chosen = value == index
        samples = null_samples(name, now, start, chosen)
        finite = [samples[null][np.isfinite(samples[null])] for null in nulls]
        result[chosen] = extreme(
            float(np.quantile(sample, quantile)) if len(sample) else nothing
            for sample in finite
        )
    return result


def concentration_bar(
    now: Snapshot, start: Snapshot, value: np.ndarray, criterion: Criterion
) -> np.ndarray:
    """What a member's concentration must exceed to be collapsed, ``[M]``."""
    bar = null_bar(criterion.metric, now, start, value, criterion.quantile)
    return np.maximum(criterion.threshold, bar + criterion.margin)


def collapsed(
    now: Snapshot, start: Snapshot, value: np.ndarray, criterion: Criterion
) -> np.ndarray:
    """Which members are collapsed, bool ``[M]``; a diverged member never is.

    Args:
      now: the measurement to judge.
      start: the measurement at step 0.
      value: index of each member's knob value, ``[M]``.
      criterion: the definition.
    """
    bar = concentration_bar(now, start, value, criterion)
    return (now.model[criterion.metric][:, 0] > bar) & (now.diverged < 0)


def collapsed_layers(
    now: Snapshot, start: Snapshot, value: np.ndarray, criterion: Criterion
) -> np.ndarray:
    """Which layers of which members are collapsed, bool ``[M, L]``.

    Every layer is judged by its most concentrated head against the whole model's bar,
    so a member is collapsed exactly where one of its layers is.
    """
    bar = concentration_bar(now, start, value, criterion)
    found = now.layers[criterion.metric][:, 0].max(-1)
    return (found > bar[:, None]) & (now.diverged < 0)[:, None]


def onset_steps(history: list[np.ndarray], steps: list[int]) -> np.ndarray:
    """First measured step at which each member is collapsed; NaN if at none."""
    ever = np.asarray(history)  # [measurements, M]
    first = np.asarray(steps, float)[ever.argmax(0)]
    return np.where(ever.any(0), first, np.nan)
