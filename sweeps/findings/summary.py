"""``onset.json``: what a sweep found, with nulls, spreads and definitions.

The schema is documented in `docs/onset_schema.md`; a test checks that the two agree.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from routers.signature import (
    CHANNEL_HUB,
    CHANNEL_SINKS,
    COLLAPSE,
    HUB_KEY,
    VALUE_DRAIN,
)
from routers.signature.nulls import POST_HOC
from sweeps.findings.post_hoc import neutral_members, summarize_post_hoc
from sweeps.findings.results import Results, quartiles
from sweeps.findings.settling import summarize_settling
from sweeps.findings.signature_onsets import sensitivity, summarize_parts
from sweeps.findings.trajectories import trajectories
from sweeps.inference.criterion import NULLS
from sweeps.inference.onset import estimate_onset, fraction_interval
from sweeps.inference.parts import CONCENTRATION, part_outcomes
from sweeps.inference.snapshot import ACCURACY, LOSS
from sweeps.storage.shape import SCHEMA, SEED


def summarize_sweep(results: Results, router: str, unit: str = SEED) -> dict[str, Any]:
    """The content of ``onset.json``, plain JSON values.

    Args:
      results: Results of a finished sweep, or of a measurement in the same form.
      router: Name of the router.
      unit: What the members of one value differ in: a seed, or a window of text.
    """
    experiment = results.experiment
    axis = experiment.grid.axis
    outcome = results.outcome_by_unit()
    onset = estimate_onset(np.asarray(axis.values), outcome)
    layers = part_outcomes(results.judge, results.final, by_layer=True)
    return {
        "schema": SCHEMA,
        "unit": unit,
        "router": router,
        "geometry": experiment.kind,
        "knob": axis.knob,
        "steps": experiment.steps,
        "criterion": dataclasses.asdict(experiment.criterion),
        "onset": onset.plain(),
        "refinement": results.refinement.plain() if results.refinement else None,
        "parts": summarize_parts(results),
        "sensitivity": sensitivity(results),
        "settling": summarize_settling(results),
        "post_hoc": summarize_post_hoc(results),
        "diagnosis": _diagnosis(results),
        "layers": layers[CONCENTRATION].shape[1],
        "curve": [_point(results, layers, index) for index in range(len(axis.values))],
    }


def _point(
    results: Results, layers: dict[str, np.ndarray], index: int
) -> dict[str, Any]:
    """One value of the axis: counts, spreads over seeds, and its nulls."""
    grid = results.experiment.grid
    chosen = grid.value == index
    now, start = results.final, results.start
    alive = chosen & now.alive
    collapsed = int(results.outcomes[CONCENTRATION][-1][chosen].sum())
    low, high = fraction_interval(collapsed, int(alive.sum()))
    concentration = results.experiment.criterion.metric
    measures = _against_nulls(results, (COLLAPSE, HUB_KEY, VALUE_DRAIN), alive)
    channels = _against_nulls(results, (CHANNEL_HUB, CHANNEL_SINKS), alive)
    return {
        "value": grid.axis.values[index],
        "round": int(grid.round[chosen][0]),
        "members": int(chosen.sum()),
        "collapsed": collapsed,
        "diverged": int(chosen.sum() - alive.sum()),
        "fraction": {"low": low, "high": high},
        "loss": quartiles(now.model[LOSS][alive, 0]),
        "accuracy": quartiles(now.model[ACCURACY][alive, 0]),
        "untrained_loss": quartiles(start.model[LOSS][alive, 0]),
        "concentration": quartiles(now.model[concentration][alive, 0]),
        "nulls": _nulls(results, concentration, alive),
        "diagnostic_nulls": _diagnostic_nulls(results, concentration, alive),
        "hub_mass": quartiles(now.model["concentration/hub_mass"][alive, 0]),
        **measures,
        **({"channels": channels} if channels else {}),
        "parts": trajectories(results, layers, alive),
    }


def _against_nulls(
    results: Results, names: Sequence[str], chosen: np.ndarray
) -> dict[str, Any]:
    """Quartiles of measures, by their last names, each with its criterion nulls."""
    now = results.final
    return {
        name.split("/")[-1]: {
            **quartiles(now.model[name][chosen, 0]),
            "nulls": _nulls(results, name, chosen),
        }
        for name in names
        if name in now.model
    }


def _nulls(results: Results, name: str, chosen: np.ndarray) -> dict[str, Any]:
    """Median and both extreme quantiles of each criterion null of a measure."""
    if not chosen.any():
        return {}
    return {
        null: _extremes(results, samples)
        for null, samples in results.judge.null_samples(
            name, results.final, chosen
        ).items()
        if len(samples)  # a zero matrix has no rank
    }


def _extremes(results: Results, samples: np.ndarray) -> dict[str, float]:
    level = results.experiment.criterion.quantile
    return {
        "median": float(np.median(samples)),
        "low": float(np.quantile(samples, 1 - level)),
        "high": float(np.quantile(samples, level)),
    }


def _diagnosis(results: Results) -> dict[str, Any] | None:
    """How the diagnostic nulls were taken, and why some are absent."""
    if results.diagnosis is None:
        return None
    return {
        "sequences": results.experiment.diagnosed,
        "absent": dict(results.diagnosis.absent),
    }


def _diagnostic_nulls(
    results: Results, name: str, chosen: np.ndarray
) -> dict[str, Any]:
    """As `_nulls`, for the diagnostic nulls, which explain and never decide."""
    diagnosis, alive = results.diagnosis, results.final.alive
    if diagnosis is None or not chosen.any():
        return {}
    found = diagnosis.nulls_of(name, chosen)
    if found.pop(POST_HOC, None) is not None:
        sound = chosen & alive[neutral_members(results.experiment)]
        found |= {POST_HOC: diagnosis.nulls_of(name, sound).get(POST_HOC, np.empty(0))}
    return {
        null: _extremes(results, samples)
        for null, samples in found.items()
        if null not in NULLS and len(samples)
    }
