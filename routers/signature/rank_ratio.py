"""Rank ratio: what a shared source does to the rank of the routed representation.

The effective rank of what a router mixed is divided by the effective rank of the same
values mixed by *row-permuted* routing: every query keeps its own weights but deals them
to its visible sources in a random order. That keeps the sharpness of every row and
destroys the agreement between queries, so a ratio below 1 is the effect of sources that
queries share. Uniform routing is not a null for the rank itself, because nothing
averages more than it does; its rank ratio is 1.

The definition is ours; the effective rank is that of `routers.signature.collapse`.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from routers.base import Array, Geometry, Knobs, Router, Routing
from routers.signature.collapse import effective_rank, without_row

DRAWS = 8
"""Number of random orders; the median of their effective ranks is used."""


class Mixed(struct.PyTreeNode):
    """A matrix and the values that it mixes, as the fast path applies them.

    Attributes:
      matrix: ``[B, H, T, S]``, or ``[B, H, V, T, S]`` with a matrix for every channel.
      values: ``[B, H, S, V]``.
    """

    matrix: Array
    values: Array


def why_unmixed(router: type[Router]) -> str | None:
    """The reason, in one line, why a router has no rank ratio; None if it has one."""
    if "streams" in router.kinds:
        return "streams start as copies of one state, and a few rows have no rank"
    if "value" in router.roles or router.combine is not Router.combine:
        return None
    return f"{router.__name__} defines neither combine nor the role value"


def mixed_of(
    router: Router, features: Any, routing: Routing, geometry: Geometry, knobs: Knobs
) -> Mixed:
    """The matrix of a bound router and the values that it mixes, before `finish`.

    With the role ``value``, all channels of a head share the reported weights. Without
    it the matrix is measured: `Router.combine` mixes values that are 1 at one source
    and 0 elsewhere, which gives one column after the other.
    """
    values = router.values(features)
    by_head = jnp.moveaxis(values, 2, 1).astype(jnp.float32)
    if "value" in router.roles:
        return Mixed(routing.weights, by_head)

    def column(source: Array) -> Array:
        here = jnp.arange(values.shape[1]) == source
        one_hot = jnp.broadcast_to(here[:, None, None], values.shape)
        return router.combine(features, one_hot.astype(values.dtype), geometry, knobs)

    columns = jax.lax.map(column, jnp.arange(values.shape[1]))  # [S, B, T, H, V]
    matrix = jnp.transpose(columns, (1, 3, 4, 2, 0)).astype(jnp.float32)
    return Mixed(matrix, by_head)


def row_orders(key: Array, mask: Array, draws: int = DRAWS) -> Array:
    """Random orders of the visible sources of every query.

    Args:
      key: PRNG key.
      mask: bool ``[T, S]``, true where a query sees a source.
      draws: Number of orders.

    Returns:
      int32 ``[draws, T, S]``: where each source takes its weight from. Sources that are
      not visible keep their place.
    """
    place = jnp.arange(mask.shape[-1])
    rank = jnp.cumsum(mask, axis=-1) - 1  # of a visible source among the visible ones

    def draw(key: Array) -> Array:
        noise = jnp.where(mask, jax.random.uniform(key, mask.shape), jnp.inf)
        shuffled = jnp.argsort(noise, axis=-1)  # the visible sources come first
        order = jnp.take_along_axis(shuffled, jnp.maximum(rank, 0), axis=-1)
        return jnp.where(mask, order, place).astype(jnp.int32)

    return jax.vmap(draw)(jax.random.split(key, draws))


def deal(matrix: Array, order: Array) -> Array:
    """``A [..., T, S]`` with the weights of every row in another order ``[T, S]``."""
    order = order.reshape((1,) * (matrix.ndim - order.ndim) + order.shape)
    return jnp.take_along_axis(matrix, order, axis=-1)


def mix(matrix: Array, values: Array) -> Array:
    """``A V [T, V]`` from ``A [T, S]`` or ``[V, T, S]`` and ``V [S, V]``."""
    if matrix.ndim == 2:
        return matrix @ values
    return jnp.einsum("vts,sv->tv", matrix, values)


def rank_ratio(
    matrix: Array, values: Array, orders: Array, left_out: Array | None = None
) -> Array:
    """The rank ratio of one head.

    Args:
      matrix: ``[T, S]``, or ``[V, T, S]``; all channels are dealt in the same order.
      values: ``[S, V]``.
      orders: From `row_orders`, ``[draws, T, S]``.
      left_out: Index of the query whose row is left out, that of the hub: a single
        massive row would decide the effective rank. None leaves out no row.

    Returns:
      A scalar; 1 if all rows are uniform. NaN if what is mixed is zero.
    """
    plain = jnp.arange(orders.shape[-1], dtype=orders.dtype)
    plain = jnp.broadcast_to(plain, (1, *orders.shape[1:]))

    def rank(order: Array) -> Array:
        mixed = mix(deal(matrix, order), values)
        return effective_rank(
            mixed if left_out is None else without_row(mixed, left_out)
        )

    # In one loop, so that equal matrices have ranks that are equal to the bit.
    ranks = jax.lax.map(rank, jnp.concatenate([plain, orders]))
    return ranks[0] / jnp.median(ranks[1:])
