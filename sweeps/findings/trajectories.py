"""Onset in training and in depth: who is collapsed when, and in which layer.

Every member is followed to the last step or left out (diverged), so nobody is
censored before the end and the Kaplan-Meier estimate of "not yet collapsed" is the
plain fraction of members, with a binomial interval at each step.
"""

from typing import Any

import numpy as np

from sweeps.findings.results import Results
from sweeps.inference.criterion import collapsed_layers
from sweeps.inference.onset import fraction_interval


def training_course(results: Results, chosen: np.ndarray) -> dict[str, list[Any]]:
    """Collapse of some members against training steps, one entry a measurement.

    Args:
      results: a finished sweep's.
      chosen: bool ``[M]``, members of one knob value that did not diverge.
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
    experiment = results.experiment
    return collapsed_layers(
        results.snapshots[-1],
        results.snapshots[0],
        experiment.grid.value,
        experiment.criterion,
    )


def depth_course(layers: np.ndarray, chosen: np.ndarray) -> dict[str, Any]:
    """Collapse of some members against depth, one entry a layer, input first.

    Args:
      layers: from `layer_outcomes`, ``[M, L]``.
      chosen: bool ``[M]``, members of one knob value that did not diverge.
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
