"""The three parts of the signature, each with its own criterion.

The definitions are ours. All parts use the criterion's quantile:

- **concentration** is collapsed where it exceeds the threshold and every null
  (`sweeps.inference.criterion`).
- **rank ratio** is collapsed where it lies below its threshold and below the low
  quantile (1 - quantile) of every criterion null. It is the effective rank of what was
  mixed relative to that of row-permuted routing (`routers.signature.rank_ratio`), so
  that uniform routing has the ratio 1.
- **stratification** is there where the hub's key norm lies a factor away from the
  median, or its value norm lies that factor below it, and beyond the same quantile of
  the untrained network. Nulls made by knobs leave the first layer's keys and values as
  they are: they would be compared with themselves. It is not defined for a router that
  reports neither norm.

A layer is judged by its most extreme head against the bar of the whole model, so that a
member shows a part exactly where one of its layers does.
"""

import dataclasses

import numpy as np

from routers.signature import COLLAPSE, HUB_KEY, RANK_RATIO, STRATIFIED, VALUE_DRAIN
from routers.signature.nulls import UNTRAINED
from sweeps.inference.criterion import HIGH, LOW, Judge
from sweeps.inference.snapshot import Snapshot

CONCENTRATION = "concentration"
RANK = "rank_ratio"
STRATIFICATION = "stratification"
FLAGS = {CONCENTRATION: "collapsed", RANK: "low_rank", STRATIFICATION: "stratified"}
"""What a member or a layer is that shows a part."""


def part_outcomes(
    judge: Judge, now: Snapshot, by_layer: bool = False
) -> dict[str, np.ndarray]:
    """Which members or layers show each part; parts not defined are left out.

    Args:
      judge: Decides by the criterion; its quantile is used for all parts.
      now: The measurement to judge.
      by_layer: Whether layers are judged. The rank ratio over depth is one number for
        all of them, so there it is left out.

    Returns:
      bool ``[M]``, or ``[M, L]`` by layer.
    """
    metric = judge.criterion.metric
    bars = judge.bar(now)
    outcomes = {CONCENTRATION: ((_numbers(now, metric, by_layer) > bars) & now.alive).T}
    if COLLAPSE in now.model:
        outcomes[RANK] = low_rank(judge, now, RANK_RATIO, by_layer)
    if HUB_KEY in now.model or VALUE_DRAIN in now.model:
        outcomes[STRATIFICATION] = stratified(judge, now, STRATIFIED, by_layer)
    shape = outcomes[CONCENTRATION].shape
    return {part: found for part, found in outcomes.items() if found.shape == shape}


def low_rank(
    judge: Judge, now: Snapshot, threshold: float, by_layer: bool = False
) -> np.ndarray:
    """Whose rank ratio is below a threshold and every null, ``[M]`` or ``[M, L]``."""
    bar = np.minimum(judge.null_bar(COLLAPSE, now, LOW), threshold)
    return ((_numbers(now, COLLAPSE, by_layer) < bar) & now.alive).T


def stratified(
    judge: Judge, now: Snapshot, factor: float, by_layer: bool = False
) -> np.ndarray:
    """Whose hub differs by a factor in key or value norm, ``[M]`` or ``[M, L]``."""
    untrained = (UNTRAINED,)
    found = np.zeros(len(now.alive), bool)
    if HUB_KEY in now.model:
        two_sided = dataclasses.replace(judge, start=_magnitudes(judge.start))
        bar = two_sided.null_bar(HUB_KEY, _magnitudes(now), HIGH, untrained)
        key = np.abs(_numbers(now, HUB_KEY, by_layer))
        found = found | (key > np.maximum(bar, np.log(factor)))
    if VALUE_DRAIN in now.model:
        bar = judge.null_bar(VALUE_DRAIN, now, LOW, untrained)
        drain = _numbers(now, VALUE_DRAIN, by_layer)
        found = found | (drain < np.minimum(bar, -np.log(factor)))
    return (found & now.alive).T


def _numbers(now: Snapshot, name: str, by_layer: bool) -> np.ndarray:
    """``[M]``, or by layer ``[L, M]``: members come last, as in a bar."""
    return now.by_layer(name).T if by_layer else now.model[name][:, 0]


def _magnitudes(snapshot: Snapshot) -> Snapshot:
    """The hub's key can be longer or shorter, so its null is two-sided."""
    spread = {**snapshot.spread, HUB_KEY: np.abs(snapshot.spread[HUB_KEY])}
    return dataclasses.replace(snapshot, spread=spread)
