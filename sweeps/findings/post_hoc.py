"""The brake put on afterwards: networks trained without it, read with it.

Where the axis holds the swept knob's neutral value, the members trained there are
measured at every other value of the knob too, seed by seed (the ``post_hoc`` variant of
the diagnosis). Their critical value is what the knob does to routing that is already
there; the trained one is what it does to learning.
"""

from typing import Any

import numpy as np

from routers.signature.nulls import POST_HOC
from sweeps.design.experiment import Experiment
from sweeps.findings.results import Results
from sweeps.findings.signature_onsets import compare
from sweeps.inference.criterion import concentration_bar
from sweeps.inference.onset import estimate_onset


def why_absent(experiment: Experiment) -> str | None:
    """Why nobody was trained at the swept knob's neutral value, or None."""
    axis, neutral = experiment.grid.axis, _neutral(experiment)
    if _at_neutral(experiment).any():
        return None
    return (
        f"{POST_HOC} needs members trained at {axis.knob}={neutral:g}, the neutral "
        f"value, which is not in this sweep"
    )


def neutral_members(experiment: Experiment) -> np.ndarray:
    """For every member the one of its seed at the neutral value, or itself, ``[M]``."""
    grid, near = experiment.grid, _at_neutral(experiment)
    if not near.any():
        return np.arange(grid.members)
    trained = np.flatnonzero(grid.value == np.flatnonzero(near)[0])
    by_unit = trained[np.argsort(grid.unit[trained])]
    return by_unit[grid.unit]


def summarize_post_hoc(results: Results) -> dict[str, Any] | None:
    """The critical value put on afterwards, as plain JSON values, or None.

    The bar is the one that members *trained* at the value have to pass, so both onsets
    have the same criterion; concentration is a mean over fewer sequences, those of the
    diagnosis.
    """
    diagnosis, experiment = results.diagnosis, results.experiment
    if diagnosis is None or POST_HOC not in diagnosis.nulls:
        return None
    now, start = results.snapshots[-1], results.snapshots[0]
    grid, criterion = experiment.grid, experiment.criterion
    found, _ = diagnosis.model(criterion.metric)
    concentration = found[:, diagnosis.nulls.index(POST_HOC)]
    bar = concentration_bar(now, start, grid.value, criterion)
    sound = (now.diverged[neutral_members(experiment)] < 0) & np.isfinite(concentration)
    outcome = np.where(sound, concentration > bar, np.nan)
    values = np.asarray(grid.axis.values)
    table = np.full((grid.unit.max() + 1, len(values)), np.nan)
    table[grid.unit, grid.value] = outcome
    onset = estimate_onset(values, table)
    trained = estimate_onset(values, results.outcome_by_unit())
    return {
        "onset": onset.plain(),
        "collapsed": [int(count) for count in np.nansum(table, axis=0)],
        "against_trained": compare(trained, onset, values),
    }


def _neutral(experiment: Experiment) -> float:
    slot, name = experiment.grid.axis.knob.split(".")
    return experiment.routers[slot][0].knobs[name].neutral


def _at_neutral(experiment: Experiment) -> np.ndarray:
    """Which values of the axis are the knob's neutral one."""
    neutral = _neutral(experiment)
    return np.isclose(experiment.grid.axis.values, neutral, rtol=1e-6, atol=0)
