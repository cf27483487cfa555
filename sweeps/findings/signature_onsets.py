"""The three parts of the signature, each with its own criterion and its own onset.

The definitions are ours. All parts use the criterion's quantile and margin:

- **concentration** is collapsed where it exceeds the threshold and every null
  (`sweeps.inference.criterion`).
- **effective rank** is collapsed where it lies below the low quantile (1 - quantile)
  of every criterion null by the margin, taken relative to that quantile.
- **key-norm stratification** is collapsed where the variation of key norms (standard
  deviation over mean, without unit) exceeds the quantile of the untrained null by the
  margin. The uniform and brake-only nulls only change knobs, and the first layer's
  keys do not depend on knobs: they would be compared with themselves. This part is not
  defined for a router without keys.
"""

import dataclasses
from typing import Any

import numpy as np

from routers.signature import COLLAPSE, STRATIFICATION
from routers.signature.nulls import UNTRAINED
from sweeps.findings.results import Results
from sweeps.inference.agreement import compare_onsets
from sweeps.inference.criterion import Judge
from sweeps.inference.onset import estimate_onset
from sweeps.inference.snapshot import Snapshot

CONCENTRATION = "concentration"
RANK = "effective_rank"
KEY_NORMS = "key_norm_cv"
FACTORS = (1 / 2, 2 / 3, 1, 4 / 3, 5 / 3)
"""Thresholds of the sensitivity table, relative to the criterion's own threshold."""


def part_outcomes(judge: Judge, now: Snapshot) -> dict[str, np.ndarray]:
    """Which members show each part, bool ``[M]``; parts not defined are left out.

    Args:
      judge: Decides by the criterion; its quantile and margin are used for all parts.
      now: The measurement to judge.
    """
    outcomes = {CONCENTRATION: judge.collapsed(now)}
    quantile, margin = judge.criterion.quantile, judge.criterion.margin
    if COLLAPSE in now.model:
        bar = judge.null_bar(COLLAPSE, now, 1 - quantile)
        found = now.model[COLLAPSE][:, 0]
        outcomes[RANK] = (found < bar * (1 - margin)) & now.alive
    if STRATIFICATION in now.model:
        bar = judge.null_bar(STRATIFICATION, now, quantile, (UNTRAINED,))
        found = now.model[STRATIFICATION][:, 0]
        outcomes[KEY_NORMS] = (found > bar + margin) & now.alive
    return outcomes


def summarize_parts(results: Results) -> dict[str, Any]:
    """The onset of each part and how they compare, as plain JSON values."""
    now, grid = results.final, results.experiment.grid
    values = np.asarray(grid.axis.values)
    outcomes = part_outcomes(results.judge, now)
    onsets = {
        name: estimate_onset(values, results.outcome_by_unit(outcome))
        for name, outcome in outcomes.items()
    }
    alive = now.alive
    parts = {
        name: {
            "onset": onset.plain(),
            "collapsed": _counts(outcomes[name], grid.value, len(values)),
            "against_concentration": compare_onsets(
                onsets[CONCENTRATION], onset, values
            ),
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
    """The onset at other thresholds of concentration, in increasing order."""
    experiment = results.experiment
    values = np.asarray(experiment.grid.axis.values)
    entries = []
    for factor in FACTORS:
        threshold = float(f"{factor * experiment.criterion.threshold:.3g}")
        if experiment.criterion.metric.endswith("hub_mass") and threshold >= 1:
            continue
        criterion = dataclasses.replace(experiment.criterion, threshold=threshold)
        judge = dataclasses.replace(results.judge, criterion=criterion)
        outcome = judge.collapsed(results.final)
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
