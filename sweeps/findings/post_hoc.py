"""The post-hoc onset: networks trained at the neutral value, read at all others.

Where the axis holds the swept knob's neutral value, the members trained there are
measured at every other value of the knob too, seed by seed (the ``post_hoc`` variant of
the diagnosis). Their critical value shows what the knob does to routing that is already
there; the critical value of trained members shows what it does to learning.
"""

from typing import Any

import numpy as np

from routers.signature.nulls import POST_HOC
from sweeps.design.experiment import Experiment
from sweeps.findings.results import Results
from sweeps.inference.agreement import compare_onsets
from sweeps.inference.onset import estimate_onset


def why_absent(experiment: Experiment) -> str | None:
    """Why no member was trained at the swept knob's neutral value, or None."""
    axis, neutral = experiment.grid.axis, _neutral(experiment)
    if len(axis.values) == 1:
        return f"{POST_HOC} needs another value than {axis.knob}={axis.values[0]:g}"
    if _at_neutral(experiment).any():
        return None
    return (
        f"{POST_HOC} needs members trained at {axis.knob}={neutral:g}, the neutral "
        f"value, which is not in this sweep"
    )


def neutral_members(experiment: Experiment) -> np.ndarray:
    """For every member, the one of the same seed at the neutral value, or itself."""
    grid, near = experiment.grid, _at_neutral(experiment)
    if not near.any():
        return np.arange(grid.members)
    trained = np.flatnonzero(grid.value == np.flatnonzero(near)[0])
    by_unit = trained[np.argsort(grid.unit[trained])]
    return by_unit[grid.unit]


def summarize_post_hoc(results: Results) -> dict[str, Any] | None:
    """The post-hoc critical value, as plain JSON values, or None.

    The bar is the one that members *trained* at the value have to pass, so both onsets
    have the same criterion. Concentration is a mean over fewer sequences here, those of
    the diagnosis.
    """
    diagnosis, experiment = results.diagnosis, results.experiment
    if diagnosis is None or POST_HOC not in diagnosis.nulls:
        return None
    now, grid = results.final, experiment.grid
    found, _ = diagnosis.model(experiment.criterion.metric)
    concentration = found[:, diagnosis.nulls.index(POST_HOC)]
    bar = results.judge.bar(now)  # infinite where no member trained there has a null
    sound = now.alive[neutral_members(experiment)]
    sound &= np.isfinite(concentration) & np.isfinite(bar)
    outcome = np.where(sound, concentration > bar, np.nan)
    values = np.asarray(grid.axis.values)
    table = np.full((grid.unit.max() + 1, len(values)), np.nan)
    table[grid.unit, grid.value] = outcome
    onset = estimate_onset(values, table)
    trained = estimate_onset(values, results.outcome_by_unit())
    return {
        "onset": onset.plain(),
        "collapsed": [int(count) for count in np.nansum(table, axis=0)],
        "against_trained": compare_onsets(trained, onset, values),
    }


def _neutral(experiment: Experiment) -> float:
    slot, name = experiment.grid.axis.knob.split(".")
    return experiment.routers[slot][0].knobs[name].neutral


def _at_neutral(experiment: Experiment) -> np.ndarray:
    """Which values of the axis are the knob's neutral value."""
    neutral = _neutral(experiment)
    return np.isclose(experiment.grid.axis.values, neutral, rtol=1e-6, atol=0)
