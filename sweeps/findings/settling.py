"""Whether the parts of the signature had settled at the last step, or still moved.

A sweep that stops early reports few collapsed members, or none, although training would
have gone on to collapse them. For every value of the knob, a line is fitted to each
seed's last third of measurements. The measure is *moving* if the slopes of the seeds
have a mean other than 0 (t-test, corrected for the number of tests in the sweep) that
changes the measure by more than `LEAST` over those steps.
"""

from typing import Any

import numpy as np
from scipy import stats

from routers.signature import COLLAPSE, RANK_RATIO
from sweeps.findings.results import Results

LEVEL = 0.05
"""Probability of at least one false alarm in a sweep that has settled."""
LEAST = 0.02
"""Least change over the last third of training, relative to the threshold."""
FEWEST_POINTS, FEWEST_SEEDS = 3, 3


def summarize_settling(results: Results) -> dict[str, list[dict[str, Any]]] | None:
    """Every value at which a measure still moved, by part, as plain JSON values.

    Returns:
      For ``concentration`` and ``rank_ratio`` the entries of `_moving`; None where
      there are too few measurements to tell.
    """
    steps = np.asarray(results.steps, float)
    points = max(FEWEST_POINTS, len(steps) // 3)
    if len(steps) - 1 < points:  # the first measurement is not of training
        return None
    criterion, grid = results.experiment.criterion, results.experiment.grid
    measures = {"concentration": (criterion.metric, criterion.threshold)}
    if COLLAPSE in results.final.model:
        measures["rank_ratio"] = (COLLAPSE, RANK_RATIO)
    tests = len(measures) * len(grid.axis.values)
    found: dict[str, list[dict[str, Any]]] = {}
    for part, (name, threshold) in measures.items():
        course = np.stack([s.model[name][:, 0] for s in results.snapshots[-points:]])
        entries = [
            _moving(steps[-points:], course[:, chosen], threshold, LEVEL / tests)
            | {"value": float(value)}
            for index, value in enumerate(grid.axis.values)
            if (chosen := (grid.value == index) & results.final.alive).sum()
            >= FEWEST_SEEDS
        ]
        found[part] = [entry for entry in entries if entry.pop("moving")]
    return found


def _moving(
    steps: np.ndarray, course: np.ndarray, threshold: float, level: float
) -> dict[str, Any]:
    """Whether a measure ``[points, seeds]`` moves, how fast, and how long it may take.

    Returns:
      ``moving``; ``slope`` in units per 100 steps (mean over seeds); and
      ``steps_left``, the number of further steps after which the median seed would be
      at the threshold at this rate, None if it moves away from it.
    """
    centred = steps - steps.mean()
    slopes = centred @ course / np.sum(centred**2)
    slope, median = float(slopes.mean()), float(np.median(course[-1]))
    change = abs(slope) * (steps[-1] - steps[0])
    spread = np.ptp(slopes)
    p = stats.ttest_1samp(slopes, 0).pvalue if spread > 0 else float(slope == 0)
    left = (threshold - median) / slope if slope else -1.0
    return {
        "moving": bool(p < level and change > LEAST * threshold),
        "slope": 100 * slope,
        "steps_left": float(left) if left > 0 else None,
    }
