"""The one compiled loop: a chunk of steps for every member, then a measurement.

Members are independent, so the loop is written for one of them and *spread* over
all by a function the caller chooses (`vmap`, `lax.map`, shards over devices). Each
program is compiled once, ahead of the first step, and then only called.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from routers.base import Array, Geometry
from routers.signature.nulls import Variant
from train import diagnose as diagnosis
from train import measure as measurement
from train.step import (
    Member,
    TrainSpec,
    TrainState,
    draw_batches,
    init_state,
    train_step,
)

Spread = Callable[[Callable[..., Any]], Callable[..., Any]]
"""Turns ``f(of_member, shared)`` into the same over a leading axis of ``of_member``."""

INIT, DATA, EVALUATION = range(3)
"""The three streams of randomness; none of them can shift another."""


def stream_key(seed: int, stream: int) -> Array:
    """Root key of one of the three streams of a sweep's seed."""
    return jax.random.fold_in(jax.random.key(seed), stream)


@partial(jax.jit, static_argnums=(0, 1))
def seed_keys(seed: int, stream: int, numbers: ArrayLike) -> Array:
    """One key per number ``[n]`` of a stream, each from its own number alone."""
    root = stream_key(seed, stream)
    return jax.vmap(partial(jax.random.fold_in, root))(numbers)


@dataclasses.dataclass(frozen=True)
class Loop:
    """The pure functions of a sweep; every array is an argument.

    Attributes:
      spec: What is static: the network and how it is trained.
      spread: Places members on devices.
    """

    spec: TrainSpec
    spread: Spread

    def init(self, members: Member, task: Any) -> TrainState:
        """Fresh states ``[M]``."""
        inputs, _ = task.sample(jax.random.key(0), 1)  # parameters need its shape

        def of_member(member: Member, shared: tuple[Geometry, Array]) -> TrainState:
            geometry, inputs = shared
            return init_state(self.spec, geometry, inputs, member)

        return self.spread(of_member)(members, (task.geometry(), inputs))

    def chunk(
        self,
        states: TrainState,
        members: Member,
        task: Any,
        streams: Array,
        first: Array,
    ) -> tuple[TrainState, Array]:
        """Trains every member for one chunk.

        Args:
          states: States before the chunk, ``[M]``; donate them.
          members: ``[M]``.
          task: A `train.tasks.Task`, traced.
          streams: PRNG keys of the data streams.
          first: Number of the step at which the chunk starts, int32.

        Returns:
          States ``[M]`` and training losses ``[M, steps]``.
        """
        spec = self.spec
        batches = draw_batches(task, streams, first, spec.chunk, spec.batch)

        def of_member(pair: tuple[TrainState, Member], shared: Any) -> Any:
            (inputs, targets), geometry = shared
            state, member = pair

            def step(state: TrainState, batch: Any) -> tuple[TrainState, Array]:
                return train_step(spec, geometry, member, state, *batch)

            own = inputs[member.stream], targets[member.stream]
            return jax.lax.scan(step, state, own)

        return self.spread(of_member)((states, members), (batches, task.geometry()))

    def measure(
        self,
        states: TrainState,
        members: Member,
        task: Any,
        batch: tuple[Array, Array],
        complete: Array | bool = True,
    ) -> dict[str, Array]:
        """Held-out loss and signature of every member: `measure.measure`, ``[M]``."""

        def of_member(pair: tuple[Any, Any], shared: Any) -> dict[str, Array]:
            (params, knobs), (geometry, (inputs, targets), complete) = pair, shared
            return measurement.measure(
                self.spec.model,
                self.spec.slot,
                params,
                knobs,
                geometry,
                inputs,
                targets,
                complete,
            )

        shared = (task.geometry(), batch, jnp.asarray(complete))
        return self.spread(of_member)((states.params, members.knobs), shared)

    def diagnose(
        self,
        variants: tuple[Variant, ...],
        params: tuple[Any, Any, Any],
        members: Member,
        task: Any,
        shared: tuple[Geometry, Array, Array],
    ) -> dict[str, Array]:
        """Full signature of every member under every variant: `diagnose.diagnose`.

        Args:
          variants: static.
          params: ``[M]``, of the members, of the same seeds trained at the neutral
            value, and at step 0.
          members: ``[M]``.
          task: a `train.tasks.Task`, traced.
          shared: the rewired geometry, inputs ``[E, ...]`` and a PRNG key.
        """

        def of_member(pair: tuple[Any, Any], shared: Any) -> dict[str, Array]:
            params, knobs = pair
            geometry, (rewired, inputs, key) = shared
            sources = diagnosis.Sources(params, geometry, rewired)
            return diagnosis.diagnose(
                self.spec.model, self.spec.slot, variants, sources, knobs, inputs, key
            )

        # Edges would not do: a rewired graph has another number of pairs in reach.
        geometry = task.geometry().replace(edges=None)
        return self.spread(of_member)((params, members.knobs), (geometry, shared))
