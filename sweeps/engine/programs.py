"""A sweep's programs, compiled before the first step; its last one meanwhile."""

import dataclasses
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from routers.base import Array, Geometry
from routers.signature.full import GRAPH
from routers.signature.nulls import Variant
from sweeps.design.experiment import Experiment
from sweeps.runtime.placement import MEMBERS, Placement, make_spread, replicate
from train.loop import DATA, EVALUATION, INIT, Loop, seed_keys, stream_key
from train.step import Member, make_optimizer
from train.tasks.rewiring import rewire


class Later:
    """A program that a thread traces and compiles, once it is told to or needed."""

    def __init__(self, build: Callable[[], Any]) -> None:
        self._build = build
        self._compiled: Future[Any] | None = None

    def start(self) -> Future[Any]:
        """Compiles while the caller does something else."""
        if self._compiled is None:
            self._compiled = ThreadPoolExecutor(1).submit(self._build)
        return self._compiled

    def result(self) -> Any:
        """The compiled program."""
        return self.start().result()


@dataclasses.dataclass(frozen=True)
class Programs:
    """Compiled for one number of rows.

    Attributes:
      init: gives every member's state at step 0, again and again the same.
      chunk: trains; donate its states.
      measure: the measurement of every chunk's end.
      diagnose: the one where a sweep ends; None where there is none.
    """

    init: Any
    chunk: Any
    measure: Any
    diagnose: Later | None


def compile_programs(
    loop: Loop,
    mesh: Mesh,
    members: Member,
    task: Any,
    streams: Array,
    batch: tuple[Array, Array],
    diagnosis: tuple[tuple[Variant, ...], Any] | None,
) -> Programs:
    """Compiles what the first step needs, and leaves the rest to a thread.

    Args:
      loop: their functions.
      mesh: over which the members are sharded.
      members: as many as they take.
      task: replicated, as the next two.
      streams: PRNG keys of the data streams.
      batch: held out.
      diagnosis: its variants and what its members share.
    """
    sharding = NamedSharding(mesh, P(MEMBERS))
    states = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        jax.eval_shape(loop.init, members, task),
    )
    first, complete = first_step(mesh, 0), replicate(mesh, jnp.asarray(True))
    with ThreadPoolExecutor() as pool:
        # The longest first; while it compiles, the next are traced.
        chunk = jax.jit(loop.chunk, donate_argnums=0).lower(
            states, members, task, streams, first
        )
        chunk_compiled = pool.submit(chunk.compile)
        measure = jax.jit(loop.measure).lower(states, members, task, batch, complete)
        measure_compiled = pool.submit(measure.compile)
        init_compiled = pool.submit(jax.jit(loop.init).lower(members, task).compile)

    def build_diagnosis() -> Any:
        assert diagnosis
        variants, shared = diagnosis
        params = (states.params,) * 3
        traced = jax.jit(loop.diagnose, static_argnums=0)
        return traced.lower(variants, params, members, task, shared).compile()

    return Programs(
        init_compiled.result(),
        chunk_compiled.result(),
        measure_compiled.result(),
        Later(build_diagnosis) if diagnosis else None,
    )


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
    """The rewired geometry, inputs and PRNG key of a diagnosis."""
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


def turns(members: int, rows: int) -> list[np.ndarray]:
    """Members in turns of ``rows``, the last padded with copies of its first."""
    starts = range(0, members, rows)
    firsts = [np.arange(start, min(start + rows, members)) for start in starts]
    return [
        np.pad(turn, (0, rows - len(turn)), constant_values=turn[0]) for turn in firsts
    ]


def make_members(experiment: Experiment, order: np.ndarray) -> Member:
    """Members as arrays, one row for each index of ``order``."""
    grid, rows = experiment.grid, len(order)
    knobs = {name: _constant(value, rows) for name, value in experiment.fixed.items()}
    knobs[grid.axis.knob] = jnp.asarray(grid.swept[order])
    return Member(
        knobs=knobs,
        init_key=seed_keys(experiment.seed, INIT, grid.init_seed[order]),
        stream=jnp.asarray(grid.data_seed[order], jnp.int32),
        learning_rate=_constant(experiment.learning_rate, rows),
    )


def first_step(mesh: Mesh, step: int) -> jax.Array:
    """A step number as a traced, replicated argument."""
    return replicate(mesh, jnp.asarray(step, jnp.int32))


def make_loop(experiment: Experiment, placement: Placement, mesh: Mesh) -> Loop:
    """The pure functions of an experiment, spread over a mesh."""
    return Loop(
        model=experiment.model,
        optimizer=make_optimizer(experiment.optimizer),
        warmup=experiment.optimizer.warmup,
        steps=experiment.chunk,
        batch=experiment.batch,
        spread=make_spread(placement, mesh),
        slot=experiment.slot,
        shares=placement.data,
    )


def _constant(value: float, rows: int) -> Array:
    """Made by NumPy: a fill by JAX would be a program of its own to compile."""
    return jnp.asarray(np.full(rows, value, np.float32))
