"""A scan over segments of a sequence that stores one carry a segment.

What `jax.checkpoint` inside `jax.lax.scan` does, with less memory: segments are read
and written in place, so no array is folded, transposed or copied on the way.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from routers.base import Array

Step = Callable[[Any, Any, Any], tuple[Any, Array]]


def scan_segments(step: Step, params: Any, carry: Any, x: Any, length: int) -> Array:
    """Outputs of a recurrence along x, computed again in the backward pass.

    Args:
      step: ``(params, carry, x [B, length, ...]) -> (carry, y [B, length, ...])``. It
        must not close over values that are differentiated or mapped over.
      params: pytree of float arrays, all that the step depends on otherwise.
      carry: pytree of float arrays, the state before the first segment.
      x: pytree of float arrays ``[B, T, ...]``. Where segments do not divide T the
        last is filled up with zeros, and what it yields there is cut.
      length: positions of a segment.

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
