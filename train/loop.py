"""The one training loop: a chunk of steps for every member, then a measurement.

Members are independent, so the loop is written for one member and *spread* over all of
them by a function that the caller chooses (`vmap`, `lax.map`, shards over devices).
Each program is compiled once, before the first step, and then only called.
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
from train.rank_ratios import draw_orders
from train.step import (
    Member,
    TrainSpec,
    TrainState,
    draw_batches,
    init_state,
    train_step,
)
from train.tasks import kinds_of

Spread = Callable[[Callable[..., Any]], Callable[..., Any]]
"""Maps ``f(row, shared)``, a function of one member, over a leading axis of rows."""

INIT, DATA, EVALUATION = range(3)
"""The three streams of randomness; draws from one do not affect the others."""


def stream_key(seed: int, stream: int) -> Array:
    """Root key of one of the three streams, from the seed of a sweep."""
    return jax.random.fold_in(jax.random.key(seed), stream)


@partial(jax.jit, static_argnums=(0, 1))
def seed_keys(seed: int, stream: int, numbers: ArrayLike) -> Array:
    """One key for each number ``[n]`` of a stream; it depends on that number alone."""
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
        inputs, _ = task.sample(jax.random.key(0), 1)  # only their shape matters

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
        rank_nulls: Array | bool = True,
    ) -> dict[str, Array]:
        """Held-out loss and signature of every member.

        Args:
          states: States of the members, ``[M]``.
          members: ``[M]``.
          task: A `train.tasks.Task`, traced.
          batch: Held-out inputs ``[E, ...]`` and targets ``[E, T]``.
          rank_nulls: Whether to measure the rank ratio of the brake alone too.

        Returns:
          What `train.measure.measure` returns, with a leading axis ``[M]``.
        """

        def of_member(pair: tuple[Any, Any], shared: Any) -> dict[str, Array]:
            (params, knobs), (geometry, (inputs, targets), *rest) = pair, shared
            return measurement.measure(
                self.spec.model,
                self.spec.slot,
                params,
                knobs,
                geometry,
                inputs,
                targets,
                *rest,
            )

        geometry = task.geometry()
        draws = draw_orders(geometry, len(batch[0]))
        kinds = kinds_of(task, *batch)
        shared = (geometry, batch, jnp.asarray(rank_nulls), draws, kinds)
        return self.spread(of_member)((states.params, members.knobs), shared)

    def diagnose(
        self,
        variants: tuple[Variant, ...],
        params: tuple[Any, Any, Any],
        members: Member,
        task: Any,
        shared: tuple[Geometry, Array, Array],
    ) -> dict[str, Array]:
        """Full signature of every member under every variant.

        Args:
          variants: Variants to measure; static.
          params: The members' parameters, those of the same seeds trained at the
            neutral value, and the members' at step 0, each ``[M]``.
          members: ``[M]``.
          task: A `train.tasks.Task`, traced.
          shared: The rewired geometry, inputs ``[E, ...]`` and a PRNG key.

        Returns:
          What `train.diagnose.diagnose` returns, with a leading axis ``[M]``.
        """

        def of_member(pair: tuple[Any, Any], shared: Any) -> dict[str, Array]:
            params, knobs = pair
            geometry, (rewired, inputs, key) = shared
            sources = diagnosis.Sources(params, geometry, rewired)
            return diagnosis.diagnose(
                self.spec.model, self.spec.slot, variants, sources, knobs, inputs, key
            )

        # A rewired graph has another number of pairs within reach, so its list of
        # edges would have another shape.
        geometry = task.geometry().replace(edges=None)
        return self.spread(of_member)((params, members.knobs), (geometry, shared))
