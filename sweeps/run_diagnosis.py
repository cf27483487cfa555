"""Diagnoses a finished sweep: one more program, compiled and called once."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from routers.signature.full import GRAPH
from routers.signature.nulls import POST_HOC, Variant, diagnostic_variants
from sweeps.diagnosis import Diagnosis
from sweeps.experiment import Experiment
from sweeps.placement import make_mesh, place, replicate
from sweeps.run import Sweep, make_loop
from train.loop import EVALUATION, stream_key
from train.tasks.rewiring import rewire


def variants_of(experiment: Experiment) -> tuple[tuple[Variant, ...], dict[str, str]]:
    """The variants of a sweep, and why others are absent."""
    router, _ = experiment.routers[experiment.slot]
    return diagnostic_variants(router, experiment.kind, _no_neutral_members(experiment))


def diagnose(sweep: Sweep) -> Diagnosis:
    """Measures every member of a finished sweep under every null.

    Args:
      sweep: its states are read, not moved.
    """
    experiment = sweep.experiment
    variants, absent = variants_of(experiment)
    mesh = make_mesh(sweep.placement)
    loop = make_loop(experiment, sweep.placement, mesh)
    geometry = experiment.task.geometry()
    rewired = geometry
    if experiment.kind == GRAPH:
        rewired = rewire(geometry, experiment.seed)
    key = jax.random.fold_in(stream_key(experiment.seed, EVALUATION), 1)
    params = (
        sweep.states.params,
        _neutral_params(sweep, mesh),
        sweep.init(sweep.members, sweep.task).params,
    )
    inputs = sweep.batch[0][: experiment.diagnosed]
    program = jax.jit(loop.diagnose, static_argnums=0)
    found = program(
        variants,
        params,
        sweep.members,
        sweep.task,
        replicate(mesh, (rewired, inputs, key)),
    )
    members = experiment.grid.members
    return Diagnosis(
        step=experiment.steps,
        nulls=tuple(variant.name for variant in variants),
        absent=absent,
        measures={name: np.asarray(value)[:members] for name, value in found.items()},
    )


def _neutral(experiment: Experiment) -> float:
    slot, name = experiment.grid.axis.knob.split(".")
    return experiment.routers[slot][0].knobs[name].neutral


def _no_neutral_members(experiment: Experiment) -> str | None:
    """Why nobody was trained at the swept knob's neutral value, or None."""
    axis, neutral = experiment.grid.axis, _neutral(experiment)
    if np.isclose(axis.values, neutral, rtol=1e-6, atol=0).any():
        return None
    return (
        f"{POST_HOC} needs members trained at {axis.knob}={neutral:g}, the neutral "
        f"value, which is not in this sweep"
    )


def _neutral_params(sweep: Sweep, mesh: Mesh) -> object:
    """For every member the parameters of its seed at the neutral value, or its own."""
    grid, params = sweep.experiment.grid, sweep.states.params
    if _no_neutral_members(sweep.experiment) is not None:
        return params
    near = np.isclose(grid.axis.values, _neutral(sweep.experiment), rtol=1e-6, atol=0)
    trained = np.flatnonzero(grid.value == np.flatnonzero(near)[0])
    by_unit = trained[np.argsort(grid.unit[trained])]
    rows = len(jax.tree.leaves(params)[0])
    index = np.zeros(rows, int)
    index[: grid.members] = by_unit[grid.unit]
    gathered = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)[index]), params)
    return place(mesh, gathered)
