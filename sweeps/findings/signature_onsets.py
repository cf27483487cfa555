"""The onsets of the three parts of the signature, and how they compare."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from routers.signature import COLLAPSE, HUB_KEY, RANK_RATIO, STRATIFIED, VALUE_DRAIN
from sweeps.findings.results import Results
from sweeps.inference.agreement import combine_verdicts, compare_parts
from sweeps.inference.onset import estimate_onset
from sweeps.inference.parts import (
    CONCENTRATION,
    FLAGS,
    RANK,
    STRATIFICATION,
    low_rank,
    stratified,
)

FACTORS = (1 / 2, 2 / 3, 1, 4 / 3, 5 / 3)
"""Thresholds of the sensitivity table, relative to the criterion's own threshold."""
OTHER_THRESHOLDS = {RANK: (0.7, RANK_RATIO, 0.9), STRATIFICATION: (1.25, STRATIFIED, 2)}
"""Thresholds of the sensitivity tables of the other parts."""


def per_member(results: Results) -> dict[str, np.ndarray]:
    """What figures show of each member at the last step, ``[M]`` each."""
    experiment, now = results.experiment, results.final
    shown = {
        "value": experiment.grid.swept,
        "concentration": now.model[experiment.criterion.metric][:, 0],
        "diverged": ~now.alive,
    }
    for name in (COLLAPSE, HUB_KEY, VALUE_DRAIN):
        if name in now.model:
            shown[name.split("/")[-1]] = now.model[name][:, 0]
    for part, course in results.outcomes.items():
        shown[FLAGS[part]] = course[-1]
        shown[f"{part}/onset_step"] = results.onset_steps(part)
    return shown


def summarize_parts(results: Results) -> dict[str, Any]:
    """The onset of each part and how they compare, as plain JSON values."""
    now, grid = results.final, results.experiment.grid
    values = np.asarray(grid.axis.values)
    outcomes = {part: course[-1] for part, course in results.outcomes.items()}
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
