"""Onset in training and in depth: which members show a part when, and in which layer.

Every member is followed to the last step or, if it diverged, left out. Nobody is
censored before the end, so the Kaplan-Meier estimate of "not yet" is the plain fraction
of members, with a binomial interval at each step.
"""

from typing import Any

import numpy as np

from sweeps.findings.results import Results
from sweeps.inference.onset import fraction_interval


def trajectories(
    results: Results, layers: dict[str, np.ndarray], chosen: np.ndarray
) -> dict[str, Any]:
    """Onset of each part in training and in depth, as plain JSON values.

    Args:
      results: Results of a finished sweep.
      layers: Which layers show each part at the last step, bool ``[M, L]``.
      chosen: Members at one knob value that did not diverge, bool ``[M]``.
    """
    return {
        part: {
            "onset_step": _onset_step(results.onset_steps(part)[chosen]),
            "training": _training(results.steps, course[:, chosen]),
            "depth": _depth(layers[part][chosen]) if part in layers else None,
        }
        for part, course in results.outcomes.items()
    }


def _onset_step(steps: np.ndarray) -> dict[str, float | None]:
    """Quartiles of the first step with a part, NaN where a member never shows it.

    Such members are censored at the end: a quantile among them is None.
    """
    known = np.where(np.isnan(steps), np.inf, steps)

    def quantile(share: float) -> float | None:
        if not len(known):
            return None
        value = np.quantile(known, share, method="inverted_cdf")
        return float(value) if np.isfinite(value) else None

    return {
        "median": quantile(0.5),
        "low": quantile(0.25),
        "high": quantile(0.75),
        "reached": int(np.isfinite(known).sum()),
    }


def _training(steps: list[int], now: np.ndarray) -> dict[str, list[Any]]:
    """A part of some members against training steps, bool ``[measurements, M]``."""
    ever = np.logical_or.accumulate(now, axis=0).sum(1)
    members = now.shape[1]
    free = [fraction_interval(members - int(count), members) for count in ever]
    return {
        "step": [int(step) for step in steps],
        "collapsed": [int(count) for count in now.sum(1)],
        "ever": [int(count) for count in ever],
        "free_low": [low for low, _ in free],
        "free_high": [high for _, high in free],
    }


def _depth(found: np.ndarray) -> dict[str, Any]:
    """A part of some members against depth, bool ``[M, L]``, input first."""
    first = found.argmax(1)[found.any(1)]
    count = found.shape[1]
    relative = float(np.median(first + 1)) / count if len(first) else None
    return {
        "collapsed": [int(n) for n in found.sum(0)],
        "first": [int(n) for n in np.bincount(first, minlength=count)],
        "median_first": relative,
    }
