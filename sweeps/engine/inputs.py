"""What compiled programs are called with: members, data streams, held-out batches."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from routers.base import Array, Geometry
from routers.signature.full import GRAPH
from sweeps.design.experiment import Experiment
from sweeps.design.grid import Grid
from sweeps.runtime.placement import replicate
from train.loop import DATA, EVALUATION, INIT, seed_keys, stream_key
from train.step import Member
from train.tasks.rewiring import rewire


def make_members(experiment: Experiment, grid: Grid, order: np.ndarray) -> Member:
    """Makes members as arrays, one row for each index of ``order``.

    Args:
      experiment: The experiment; its seed and fixed knobs are used.
      grid: Members of the experiment.
      order: Indices of members in the grid, ``[rows]``; they may repeat.
    """
    rows = len(order)
    knobs = {name: _constant(value, rows) for name, value in experiment.fixed.items()}
    knobs[grid.axis.knob] = jnp.asarray(grid.swept[order])
    return Member(
        knobs=knobs,
        init_key=seed_keys(experiment.seed, INIT, grid.init_seed[order]),
        stream=jnp.asarray(grid.data_seed[order], jnp.int32),
        learning_rate=_constant(experiment.learning_rate, rows),
    )


def _constant(value: float, rows: int) -> Array:
    """A constant array from NumPy; in JAX it would be one more program to compile."""
    return jnp.asarray(np.full(rows, value, np.float32))


def row_blocks(members: int, rows: int) -> list[np.ndarray]:
    """Splits members into blocks of ``rows`` indices, as programs take them.

    The last block is filled up with copies of its first index.
    """
    starts = range(0, members, rows)
    blocks = [np.arange(start, min(start + rows, members)) for start in starts]
    return [
        np.pad(block, (0, rows - len(block)), constant_values=block[0])
        for block in blocks
    ]


def take_row(tree: Any, row: int) -> Any:
    """One row of the leading axis of every leaf."""
    return jax.tree.map(lambda leaf: leaf[row], tree)


def take_rows(tree: Any, rows: np.ndarray | slice) -> Any:
    """Some rows of the leading axis of every leaf."""
    return jax.tree.map(lambda leaf: leaf[rows], tree)


def data_streams(experiment: Experiment) -> Array:
    """PRNG keys of the data streams ``[streams]``."""
    streams = np.arange(experiment.grid.data_seed.max() + 1)
    return seed_keys(experiment.seed, DATA, streams)


def held_out(experiment: Experiment) -> tuple[Array, Array]:
    """Inputs and targets of every measurement."""
    inputs, targets, _ = _draw_evaluation(
        experiment.task, experiment.seed, experiment.sequences
    )
    return inputs, targets


def diagnosis_inputs(experiment: Experiment) -> tuple[Geometry, Array, Array]:
    """The rewired geometry, the inputs and the PRNG key of a diagnosis."""
    geometry = experiment.task.geometry()
    if experiment.kind == GRAPH:
        geometry = rewire(geometry, experiment.seed)
    inputs, _, key = _draw_evaluation(
        experiment.task, experiment.seed, experiment.sequences
    )
    return geometry, inputs[: experiment.diagnosed], key


@partial(jax.jit, static_argnums=(1, 2))
def _draw_evaluation(
    task: Any, seed: int, sequences: int
) -> tuple[Array, Array, Array]:
    """Held-out inputs and targets, and the key of a diagnosis, in one program."""
    key = stream_key(seed, EVALUATION)
    return *task.held_out(key, sequences), jax.random.fold_in(key, 1)


def step_number(mesh: Mesh, step: int) -> jax.Array:
    """A step number as a traced argument, on every device."""
    return replicate(mesh, jnp.asarray(step, jnp.int32))
