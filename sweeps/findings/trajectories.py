"""Onset in training and in depth: which members collapse when, and in which layer.

Every member is followed to the last step or, if it diverged, left out. Nobody is
censored before the end, so the Kaplan-Meier estimate of "not yet collapsed" is the
plain fraction of members, with a binomial interval at each step.
"""

from typing import Any

import numpy as np

from sweeps.findings.results import Results
from sweeps.inference.onset import fraction_interval


def training_trajectory(results: Results, chosen: np.ndarray) -> dict[str, list[Any]]:
    """Collapse of some members against training steps, one entry a measurement.

    Args:
      results: Results of a finished sweep.
      chosen: Members at one knob value that did not diverge, bool ``[M]``.
    """
    now = np.asarray(results.outcomes)[:, chosen]  # [measurements, members]
    ever = np.logical_or.accumulate(now, axis=0).sum(1)
    members = now.shape[1]
    free = [fraction_interval(members - int(count), members) for count in ever]
    return {
        "step": [int(step) for step in results.steps],
        "collapsed": [int(count) for count in now.sum(1)],
        "ever": [int(count) for count in ever],
        "free_low": [low for low, _ in free],
        "free_high": [high for _, high in free],
    }


def layer_outcomes(results: Results) -> np.ndarray:
    """Which layers of which members are collapsed at the last step, ``[M, L]``."""
    return results.judge.collapsed_layers(results.final)


def depth_trajectory(layers: np.ndarray, chosen: np.ndarray) -> dict[str, Any]:
    """Collapse of some members against depth, one entry a layer, input first.

    Args:
      layers: Outcomes of `layer_outcomes`, bool ``[M, L]``.
      chosen: Members at one knob value that did not diverge, bool ``[M]``.
    """
    found = layers[chosen]
    any_layer = found.any(1)
    first = found.argmax(1)[any_layer]
    count = layers.shape[1]
    relative = float(np.median(first + 1)) / count if len(first) else None
    return {
        "collapsed": [int(n) for n in found.sum(0)],
        "first": [int(n) for n in np.bincount(first, minlength=count)],
        "median_first": relative,
    }
