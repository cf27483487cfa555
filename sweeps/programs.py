"""A sweep's programs, compiled before the first step; its last one meanwhile."""

import dataclasses
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from routers.base import Array, Geometry
from routers.signature.full import GRAPH
from routers.signature.nulls import Variant
from sweeps.experiment import Experiment
from sweeps.placement import MEMBERS, Placement, make_spread, replicate
from train.loop import EVALUATION, INIT, Loop, seed_keys, stream_key
from train.step import Member, make_optimizer
from train.tasks.rewiring import rewire


class Later:
    """A program that a thread compiles, once it is told to or needed."""

    def __init__(self, lowered: Any) -> None:
        self._lowered = lowered
        self._compiled: Future[Any] | None = None

    def start(self) -> Future[Any]:
        """Compiles while the caller does something else."""
        if self._compiled is None:
            self._compiled = ThreadPoolExecutor(1).submit(self._lowered.compile)
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
    first = first_step(mesh, 0)
    init = jax.jit(loop.init).lower(members, task)
    chunk = jax.jit(loop.chunk, donate_argnums=0).lower(
        states, members, task, streams, first
    )
    measure = jax.jit(loop.measure).lower(
        states, members, task, batch, replicate(mesh, jnp.asarray(True))
    )
    diagnose = None
    if diagnosis:
        variants, shared = diagnosis
        diagnose = jax.jit(loop.diagnose, static_argnums=0).lower(
            variants, (states.params,) * 3, members, task, shared
        )
    return Programs(
        # One after another: the compiler already uses all cores.
        init.compile(),
        chunk.compile(),
        measure.compile(),
        Later(diagnose) if diagnose else None,
    )


def diagnosis_inputs(
    experiment: Experiment, batch: tuple[Array, Array]
) -> tuple[Geometry, Array, Array]:
    """The rewired geometry, inputs and PRNG key of a diagnosis."""
    geometry = experiment.task.geometry()
    if experiment.kind == GRAPH:
        geometry = rewire(geometry, experiment.seed)
    key = jax.random.fold_in(stream_key(experiment.seed, EVALUATION), 1)
    return geometry, batch[0][: experiment.diagnosed], key


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
    knobs = {
        name: jnp.full(rows, value, jnp.float32)
        for name, value in experiment.fixed.items()
    }
    knobs[grid.axis.knob] = jnp.asarray(grid.swept[order])
    return Member(
        knobs=knobs,
        init_key=seed_keys(
            stream_key(experiment.seed, INIT), jnp.asarray(grid.init_seed[order])
        ),
        stream=jnp.asarray(grid.data_seed[order], jnp.int32),
        learning_rate=jnp.full(rows, experiment.learning_rate, jnp.float32),
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
