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

Step = Callable[[Any, Any, Array], tuple[Any, Array]]


def scan_segments(step: Step, params: Any, carry: Any, x: Array, length: int) -> Array:
    """Outputs of a recurrence along x, computed again in the backward pass.

    Args:
      step: ``(params, carry, x [B, length, ...]) -> (carry, y [B, length, ...])``. It
        must not close over values that are differentiated or mapped over.
      params: pytree of float arrays, all that the step depends on otherwise.
      carry: pytree of float arrays, the state before the first segment.
      x: ``[B, T, ...]``. Where segments do not divide T the last is filled up with
        zeros, and what it yields there is cut.
      length: positions of a segment.

    Returns:
      y ``[B, T, ...]``; the last carry is not returned.
    """
    queries = x.shape[1]
    padding = [(0, 0), (0, -queries % length)] + [(0, 0)] * (x.ndim - 2)
    return _scan(step, length, params, carry, jnp.pad(x, padding))[:, :queries]


def _cut(x: Array, index: Array, length: int) -> Array:
    return jax.lax.dynamic_slice_in_dim(x, index * length, length, 1)


def _put(whole: Array, part: Array, index: Array) -> Array:
    start = index * part.shape[1]
    return jax.lax.dynamic_update_slice_in_dim(whole, part, start, 1)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _scan(step: Step, length: int, params: Any, carry: Any, x: Array) -> Array:
    return _forward(step, length, params, carry, x)[0]


def _forward(
    step: Step, length: int, params: Any, carry: Any, x: Array
) -> tuple[Array, Any]:
    segments = jnp.arange(x.shape[1] // length)
    one = jax.eval_shape(step, params, carry, x[:, :length])[1]
    y = jnp.zeros((one.shape[0], x.shape[1], *one.shape[2:]), one.dtype)

    def advance(state: tuple[Any, Array], index: Array) -> Any:
        carry, y = state
        after, part = step(params, carry, _cut(x, index, length))
        return (after, _put(y, part, index)), carry

    (_, y), carries = jax.lax.scan(advance, (carry, y), segments)
    return y, (params, carries, x)


def _backward(step: Step, length: int, saved: Any, dy: Array) -> tuple[Any, Any, Array]:
    params, carries, x = saved

    def retreat(state: Any, now: Any) -> tuple[Any, None]:
        dparams, dcarry, dx = state
        carry, index = now
        _, pull = jax.vjp(step, params, carry, _cut(x, index, length))
        of_params, dcarry, part = pull((dcarry, _cut(dy, index, length)))
        dparams = jax.tree.map(jnp.add, dparams, of_params)
        return (dparams, dcarry, _put(dx, part, index)), None

    dcarry = jax.tree.map(lambda c: jnp.zeros_like(c[0]), carries)
    nothing = (jax.tree.map(jnp.zeros_like, params), dcarry, jnp.zeros_like(x))
    segments = jnp.arange(x.shape[1] // length)
    grads, _ = jax.lax.scan(retreat, nothing, (carries, segments), reverse=True)
    return grads


_scan.defvjp(_forward, _backward)
