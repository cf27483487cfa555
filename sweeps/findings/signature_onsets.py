"""The signature's three parts, each with its own criterion and its own onset.

Ours, chosen once, with the quantile and the margin of the criterion for all:

- **concentration**: above the threshold and above every null (`sweeps.inference.criterion`).
- **effective rank**: collapsed where it lies below the low quantile (1 - quantile) of
  every criterion null by the margin, taken relative to that quantile.
- **key-norm stratification**: collapsed where the variation of key norms (standard
  deviation over mean, without unit) exceeds the quantile of the untrained null by the
  margin. The uniform and brake-only nulls only change knobs, and the first layer's
  keys do not depend on knobs: they would be compared with themselves. Not defined for
  a router without keys.
"""

import dataclasses
from typing import Any

import numpy as np

from routers.signature import COLLAPSE, STRATIFICATION
from sweeps.findings.results import Results
from sweeps.inference.criterion import (
    NULLS,
    UNTRAINED,
    Criterion,
    Snapshot,
    collapsed,
    null_bar,
)
from sweeps.inference.onset import Onset, estimate_onset

CONCENTRATION = "concentration"
RANK = "effective_rank"
KEY_NORMS = "key_norm_cv"
FACTORS = (1 / 2, 2 / 3, 1, 4 / 3, 5 / 3)
"""Thresholds of the sensitivity table over the criterion's own."""


def part_outcomes(
    now: Snapshot, start: Snapshot, value: np.ndarray, criterion: Criterion
) -> dict[str, np.ndarray]:
    """Which members show each part, bool ``[M]``; without parts not defined.

    Args:
      now: the measurement to judge.
      start: the measurement at step 0.
      value: index of each member's knob value, ``[M]``.
      criterion: quantile and margin of all parts, threshold of concentration.
    """
    outcomes = {CONCENTRATION: collapsed(now, start, value, criterion)}
    alive = now.diverged < 0
    quantile, margin = criterion.quantile, criterion.margin
    if COLLAPSE in now.model:
        bar = null_bar(COLLAPSE, now, start, value, 1 - quantile, NULLS)
        found = now.model[COLLAPSE][:, 0]
        outcomes[RANK] = (found < bar * (1 - margin)) & alive
    if STRATIFICATION in now.model:
        bar = null_bar(STRATIFICATION, now, start, value, quantile, (UNTRAINED,))
        found = now.model[STRATIFICATION][:, 0]
        outcomes[KEY_NORMS] = (found > bar + margin) & alive
    return outcomes


def compare(first: Onset, second: Onset, values: np.ndarray) -> str:
    """Whether two onsets are at the same place, as far as the seeds tell.

    Args:
      first: an onset.
      second: another, over the same values.
      values: of the axis.

    Returns:
      ``"coincide"``: same direction, each estimate inside the other's closed
      interval; or both firmly collapsed everywhere, or nowhere. ``"differ"``: other
      directions, disjoint intervals, or a closed interval where the other, censored,
      firmly has no crossing. ``"undecided"`` otherwise.
    """
    if first.estimate is None and second.estimate is None:
        firm = all(o.censored and not o.undecided for o in (first, second))
        same = first.censored == second.censored
        return ("coincide" if same else "differ") if firm else "undecided"
    if first.estimate is None:
        return "differ" if _free_of_crossings(first, second, values) else "undecided"
    if second.estimate is None:
        return "differ" if _free_of_crossings(second, first, values) else "undecided"
    if first.direction != second.direction:
        return "differ"
    if not (_reaches(first, second) and _reaches(second, first)):
        return "differ"
    same = _closed(first) and _closed(second)
    same = same and _holds(first, second.estimate) and _holds(second, first.estimate)
    return "coincide" if same else "undecided"


def _free_of_crossings(censored: Onset, other: Onset, values: np.ndarray) -> bool:
    """Whether a censored onset has no crossing in another's closed interval.

    It may have one only in a gap at one of whose ends the seeds do not decide.
    """
    if censored.censored is None or other.low is None or other.high is None:
        return False
    for place in np.searchsorted(values, censored.undecided):
        below = values[max(place - 1, 0)]
        above = values[min(place + 1, len(values) - 1)]
        if below < other.high and other.low < above:
            return False
    return True


def _closed(onset: Onset) -> bool:
    return onset.low is not None and onset.high is not None


def _reaches(first: Onset, second: Onset) -> bool:
    """Whether the first interval's upper end is not below the second's lower."""
    return first.high is None or second.low is None or first.high >= second.low


def _holds(onset: Onset, value: float) -> bool:
    above = onset.low is None or onset.low <= value
    return above and (onset.high is None or value <= onset.high)


def summarize_parts(results: Results) -> dict[str, Any]:
    """The parts' onsets and how they compare, as plain JSON values."""
    now, start = results.snapshots[-1], results.snapshots[0]
    grid, criterion = results.experiment.grid, results.experiment.criterion
    values = np.asarray(grid.axis.values)
    outcomes = part_outcomes(now, start, grid.value, criterion)
    onsets = {
        name: estimate_onset(values, results.outcome_by_unit(outcome))
        for name, outcome in outcomes.items()
    }
    alive = now.diverged < 0
    parts = {
        name: {
            "onset": onset.plain(),
            "collapsed": _counts(outcomes[name], grid.value, len(values)),
            "against_concentration": compare(onsets[CONCENTRATION], onset, values),
            "agreement": _share(outcomes[name] == outcomes[CONCENTRATION], alive),
        }
        for name, onset in onsets.items()
    }
    others = {parts[n]["against_concentration"] for n in parts if n != CONCENTRATION}
    missing = [name for name in (RANK, KEY_NORMS) if name not in parts]
    if not alive.any() or not others:
        verdict = "undecided"
    elif "differ" in others:
        verdict = "differ"
    else:
        verdict = "undecided" if "undecided" in others else "coincide"
    return {"verdict": verdict, "not_defined": missing, **parts}


def _counts(outcome: np.ndarray, value: np.ndarray, values: int) -> list[int]:
    return [int(outcome[value == index].sum()) for index in range(values)]


def _share(flags: np.ndarray, chosen: np.ndarray) -> float | None:
    return float(flags[chosen].mean()) if chosen.any() else None


def sensitivity(results: Results) -> list[dict[str, Any]]:
    """The onset at other thresholds of concentration, increasing."""
    experiment = results.experiment
    values = np.asarray(experiment.grid.axis.values)
    now, start = results.snapshots[-1], results.snapshots[0]
    entries = []
    for factor in FACTORS:
        threshold = float(f"{factor * experiment.criterion.threshold:.3g}")
        if experiment.criterion.metric.endswith("hub_mass") and threshold >= 1:
            continue
        criterion = dataclasses.replace(experiment.criterion, threshold=threshold)
        outcome = collapsed(now, start, experiment.grid.value, criterion)
        onset = estimate_onset(values, results.outcome_by_unit(outcome))
        entries.append(
            {
                "threshold": threshold,
                "estimate": onset.estimate,
                "low": onset.low,
                "high": onset.high,
                "censored": onset.censored,
                "collapsed": _counts(outcome, experiment.grid.value, len(values)),
            }
        )
    return entries
