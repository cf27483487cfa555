"""Training on long sequences one segment after another.

`scan_segments` is a scan that stores one carry per segment and computes the rest again
in the backward pass. It does what `jax.checkpoint` inside `jax.lax.scan` does, with
less memory: segments are read and written in place, so no array is folded, transposed
or copied on the way.

`SegmentedRouter` runs a whole recurrent router through it, projections included.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from routers.base import Array, Geometry, Knobs, Router
from routers.decay import require_whole_sequences

MIXING = ("values", "combine", "finish", "continue_mix")
"""Methods that must agree where a sequence is split."""

Step = Callable[[Any, Any, Any], tuple[Any, Array]]


def scan_segments(step: Step, params: Any, carry: Any, x: Any, length: int) -> Array:
    """Outputs of a recurrence along x, computed again in the backward pass.

    Args:
      step: Function ``(params, carry, x [B, length, ...]) -> (carry, y [B, length,
        ...])``. It must not close over values that are differentiated or mapped over.
      params: Pytree of float arrays with everything else that the step depends on.
      carry: Pytree of float arrays, the state before the first segment.
      x: Pytree of float arrays ``[B, T, ...]``. Where segments do not divide T, the
        last one is padded with zeros and its outputs there are dropped.
      length: Number of positions in a segment.

    Returns:
      y ``[B, T, ...]``; the last carry is not returned.
    """
    queries = _positions(x)

    def fill_up(x: Array) -> Array:
        return jnp.pad(x, [(0, 0), (0, -queries % length)] + [(0, 0)] * (x.ndim - 2))

    return _scan(step, length, params, carry, jax.tree.map(fill_up, x))[:, :queries]


def _positions(x: Any) -> int:
    return int(jax.tree.leaves(x)[0].shape[1])


def _cut(x: Any, index: Array | int, length: int) -> Any:
    return jax.tree.map(
        lambda x: jax.lax.dynamic_slice_in_dim(x, index * length, length, 1), x
    )


def _put(whole: Any, part: Any, index: Array) -> Any:
    def put(whole: Array, part: Array) -> Array:
        start = index * part.shape[1]
        return jax.lax.dynamic_update_slice_in_dim(whole, part, start, 1)

    return jax.tree.map(put, whole, part)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _scan(step: Step, length: int, params: Any, carry: Any, x: Any) -> Array:
    return _forward(step, length, params, carry, x)[0]


def _forward(
    step: Step, length: int, params: Any, carry: Any, x: Any
) -> tuple[Array, Any]:
    positions = _positions(x)
    one = jax.eval_shape(step, params, carry, _cut(x, 0, length))[1]
    y = jnp.zeros((one.shape[0], positions, *one.shape[2:]), one.dtype)

    def advance(state: tuple[Any, Array], index: Array) -> Any:
        carry, y = state
        after, part = step(params, carry, _cut(x, index, length))
        return (after, _put(y, part, index)), carry

    (_, y), carries = jax.lax.scan(advance, (carry, y), jnp.arange(positions // length))
    return y, (params, carries, x)


def _backward(step: Step, length: int, saved: Any, dy: Array) -> tuple[Any, Any, Any]:
    params, carries, x = saved

    def retreat(state: Any, now: Any) -> tuple[Any, None]:
        dparams, dcarry, dx = state
        carry, index = now
        _, pull = jax.vjp(step, params, carry, _cut(x, index, length))
        of_params, dcarry, part = pull((dcarry, _cut(dy, index, length)))
        dparams = jax.tree.map(jnp.add, dparams, of_params)
        return (dparams, dcarry, _put(dx, part, index)), None

    dcarry = jax.tree.map(lambda c: jnp.zeros_like(c[0]), carries)
    dparams, dx = jax.tree.map(jnp.zeros_like, (params, x))
    segments = jnp.arange(_positions(x) // length)
    grads, _ = jax.lax.scan(
        retreat, (dparams, dcarry, dx), (carries, segments), reverse=True
    )
    return grads


_scan.defvjp(_forward, _backward)


class SegmentedRouter(Router):
    """A recurrent router that trains on long sequences one segment after another.

    `mix` must give what `continue_mix` gives after `initial_state`. Sequences are split
    only if one class defines all methods of `MIXING` and none overrides `mix`; a
    subclass that overrides one of them alone trains through its `mix` at every length.

    Class attributes:
      segment: Number of positions whose intermediates the backward pass holds at once;
        longer sequences are split.
    """

    segment: ClassVar[int]

    def initial_state(self, batch: int) -> Any:
        """The state before the first position, a pytree of float arrays."""
        raise TypeError(f"{type(self).__name__} does not define initial_state")

    def continue_mix(
        self, features: Any, state: Any, knobs: Knobs
    ) -> tuple[Array, Any]:
        """``y [B, T, D]`` of features after a state, and the state at the end."""
        raise TypeError(f"{type(self).__name__} does not define continue_mix")

    def forward(self, x: Array, geometry: Geometry, knobs: Knobs) -> Array:
        """`mix` of `project`, split into segments where the sequence is long."""
        batch, length, width = x.shape
        if (
            length <= self.segment
            or self.is_initializing()
            or type(self).mix is not Router.mix
            or not _defined_together(type(self), *MIXING)
        ):
            return super().forward(x, geometry, knobs)
        require_whole_sequences(geometry)
        module, variables = self.unbind()

        def step(params: Any, carry: Any, x: Array) -> Any:
            variables, knobs = params
            return module.apply(
                variables, carry, x, knobs, method=SegmentedRouter._advance
            )

        before = jnp.zeros((batch, self.lookback(), width), x.dtype)
        carry = (before, self.initial_state(batch))
        return scan_segments(step, (variables, dict(knobs)), carry, x, self.segment)

    def _advance(self, carry: Any, x: Array, knobs: Knobs) -> tuple[Any, Array]:
        """One segment; the carry holds the earlier positions to read and the state."""
        before, state = carry
        seen = jnp.concatenate([before, x], axis=1)
        skipped = before.shape[1]
        features = jax.tree.map(
            lambda feature: feature[:, skipped:], self.project(seen)
        )
        y, state = self.continue_mix(features, state, knobs)
        return (_last(before, x), state), y


def _last(before: Array, x: Array) -> Array:
    """The last positions of a segment, as many as ``before`` holds.

    They are sliced from a concatenation of their own, so that the gradient of the carry
    is added to the complete gradient of the projections.
    """
    return jnp.concatenate([before, x], axis=1)[:, x.shape[1] :]


def _defined_together(router: type[Router], *methods: str) -> bool:
    """Whether one class of a router's ancestry defines all of these methods."""
    owners = {
        next(base for base in router.__mro__ if method in vars(base))
        for method in methods
    }
    return len(owners) == 1
