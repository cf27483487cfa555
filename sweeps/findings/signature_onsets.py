"""The three parts of the signature, each with its own criterion and its own onset.

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
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from routers.signature import COLLAPSE, HUB_KEY, RANK_RATIO, STRATIFIED, VALUE_DRAIN
from routers.signature.nulls import UNTRAINED
from sweeps.findings.results import Results
from sweeps.inference.agreement import combine_verdicts, compare_parts
from sweeps.inference.criterion import Judge
from sweeps.inference.onset import estimate_onset
from sweeps.inference.snapshot import Snapshot

CONCENTRATION = "concentration"
RANK = "rank_ratio"
STRATIFICATION = "stratification"
FACTORS = (1 / 2, 2 / 3, 1, 4 / 3, 5 / 3)
"""Thresholds of the sensitivity table, relative to the criterion's own threshold."""
OTHER_THRESHOLDS = {RANK: (0.7, RANK_RATIO, 0.9), STRATIFICATION: (1.25, STRATIFIED, 2)}
"""Thresholds of the sensitivity tables of the other parts."""


def part_outcomes(judge: Judge, now: Snapshot) -> dict[str, np.ndarray]:
    """Which members show each part, bool ``[M]``; parts not defined are left out.

    Args:
      judge: Decides by the criterion; its quantile is used for all parts.
      now: The measurement to judge.
    """
    outcomes = {CONCENTRATION: judge.collapsed(now)}
    if COLLAPSE in now.model:
        outcomes[RANK] = low_rank(judge, now, RANK_RATIO)
    if HUB_KEY in now.model or VALUE_DRAIN in now.model:
        outcomes[STRATIFICATION] = stratified(judge, now, STRATIFIED)
    return outcomes


def low_rank(judge: Judge, now: Snapshot, threshold: float) -> np.ndarray:
    """Which members' rank ratio is below a threshold and every null, bool ``[M]``."""
    bar = judge.null_bar(COLLAPSE, now, 1 - judge.criterion.quantile)
    found = now.model[COLLAPSE][:, 0]
    return (found < np.minimum(bar, threshold)) & now.alive


def stratified(judge: Judge, now: Snapshot, factor: float) -> np.ndarray:
    """Which members' hub differs by a factor in its key or value norm, bool ``[M]``."""
    quantile, untrained = judge.criterion.quantile, (UNTRAINED,)
    found = np.zeros(len(now.alive), bool)
    if HUB_KEY in now.model:
        two_sided = dataclasses.replace(judge, start=_magnitudes(judge.start))
        bar = two_sided.null_bar(HUB_KEY, _magnitudes(now), quantile, untrained)
        found |= np.abs(now.model[HUB_KEY][:, 0]) > np.maximum(bar, np.log(factor))
    if VALUE_DRAIN in now.model:
        bar = judge.null_bar(VALUE_DRAIN, now, 1 - quantile, untrained)
        found |= now.model[VALUE_DRAIN][:, 0] < np.minimum(bar, -np.log(factor))
    return found & now.alive


def _magnitudes(snapshot: Snapshot) -> Snapshot:
    """The hub's key can be longer or shorter, so its null is two-sided."""
    spread = {**snapshot.spread, HUB_KEY: np.abs(snapshot.spread[HUB_KEY])}
    return dataclasses.replace(snapshot, spread=spread)


def per_member(results: Results) -> dict[str, np.ndarray]:
    """What figures show of each member at the last step, ``[M]`` each."""
    experiment, now = results.experiment, results.final
    outcomes = part_outcomes(results.judge, now)
    shown = {
        "value": experiment.grid.swept,
        "concentration": now.model[experiment.criterion.metric][:, 0],
        "collapsed": outcomes[CONCENTRATION],
        "diverged": ~now.alive,
        "onset_step": results.onset_steps,
    }
    for name in (COLLAPSE, HUB_KEY, VALUE_DRAIN):
        if name in now.model:
            shown[name.split("/")[-1]] = now.model[name][:, 0]
    for name, part in (("low_rank", RANK), ("stratified", STRATIFICATION)):
        if part in outcomes:
            shown[name] = outcomes[part]
    return shown


def summarize_parts(results: Results) -> dict[str, Any]:
    """The onset of each part and how they compare, as plain JSON values."""
    now, grid = results.final, results.experiment.grid
    values = np.asarray(grid.axis.values)
    outcomes = part_outcomes(results.judge, now)
    by_unit = {name: results.outcome_by_unit(one) for name, one in outcomes.items()}
    alive = now.alive
    parts = {
        name: {
            "onset": estimate_onset(values, by_unit[name]).plain(),
            "collapsed": _counts(outcome, grid.value, len(values)),
            "agreement": _share(outcome == outcomes[CONCENTRATION], alive),
            "sensitivity": _other_sensitivity(results, name),
        }
        for name, outcome in outcomes.items()
    }
    ratios = compare_parts(values, by_unit)
    return {
        "verdict": combine_verdicts(ratio.verdict for ratio in ratios.values()),
        "ratios": [
            {"of": second, "to": first, **ratio.plain()}
            for (first, second), ratio in ratios.items()
        ],
        "not_defined": [name for name in (RANK, STRATIFICATION) if name not in parts],
        **parts,
    }


def _counts(outcome: np.ndarray, value: np.ndarray, values: int) -> list[int]:
    return [int(outcome[value == index].sum()) for index in range(values)]


def _share(flags: np.ndarray, chosen: np.ndarray) -> float | None:
    return float(flags[chosen].mean()) if chosen.any() else None


def sensitivity(results: Results) -> list[dict[str, Any]]:
    """The onset at other thresholds of concentration, in increasing order."""
    criterion = results.experiment.criterion
    thresholds = [float(f"{f * criterion.threshold:.3g}") for f in FACTORS]
    if criterion.metric.endswith("hub_mass"):
        thresholds = [one for one in thresholds if one < 1]

    def outcome(threshold: float) -> np.ndarray:
        other = dataclasses.replace(criterion, threshold=threshold)
        judge = dataclasses.replace(results.judge, criterion=other)
        return judge.collapsed(results.final)

    return _at_thresholds(results, thresholds, outcome)


def _other_sensitivity(results: Results, part: str) -> list[dict[str, Any]]:
    """The same for another part; empty for concentration, which has `sensitivity`."""
    judge, now = results.judge, results.final
    judged = {RANK: low_rank, STRATIFICATION: stratified}.get(part)
    if judged is None:
        return []
    return _at_thresholds(
        results, OTHER_THRESHOLDS[part], lambda one: judged(judge, now, one)
    )


def _at_thresholds(
    results: Results,
    thresholds: Sequence[float],
    outcome_at: Callable[[float], np.ndarray],
) -> list[dict[str, Any]]:
    grid = results.experiment.grid
    values = np.asarray(grid.axis.values)
    entries = []
    for threshold in thresholds:
        outcome = outcome_at(threshold)
        onset = estimate_onset(values, results.outcome_by_unit(outcome))
        entries.append(
            {
                "threshold": threshold,
                "estimate": onset.estimate,
                "low": onset.low,
                "high": onset.high,
                "censored": onset.censored,
                "collapsed": _counts(outcome, grid.value, len(values)),
            }
        )
    return entries
