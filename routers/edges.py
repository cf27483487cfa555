"""Softmax and mixing along a list of edges, for graphs that are mostly masked.

Time and memory grow with the number of edges E instead of T x S. Sums over the edges
of a query are segment sums, since `Edges` are sorted by target.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from routers.base import Array, Edges
from routers.scaling import by_position


def list_edges(mask: np.ndarray | Array) -> Edges:
    """The true entries of a mask ``[T, S]``, sorted by target, then by source.

    Raises:
      ValueError: The mask is not a single matrix.
    """
    if mask.ndim != 2:
        raise ValueError(f"mask of shape {mask.shape}: must be one matrix [T, S]")
    target, source = np.nonzero(np.asarray(mask))
    return Edges(jnp.asarray(target, jnp.int32), jnp.asarray(source, jnp.int32))


def edge_softmax(logits: Array, edges: Edges, queries: int, null_sink: Array) -> Array:
    """`routers.softmax.masked_softmax` over the edges of every query.

    Args:
      logits: Logits, float32 ``[B, E, H]``.
      edges: Edges; every query must have at least one.
      queries: Number of queries T.
      null_sink: Weight z >= 0 of an extra source of logit 0, scalar or ``[H]``.

    Returns:
      Weights, float32 ``[B, E, H]``; those of a query sum to 1 minus the share of the
      null source.
    """
    # Any shift gives the same weights, so the gradient does not pass through it.
    top = jax.lax.stop_gradient(_segments(jax.ops.segment_max, logits, edges, queries))
    top = jnp.maximum(top, jnp.where(null_sink > 0, 0.0, -jnp.inf))
    unnormalized = jnp.exp(logits - top[:, edges.target])
    # At z > 0, top >= 0. At z = 0 only the derivative needs this; exact for top > -40.
    null = null_sink * jnp.exp(jnp.minimum(-top, 40.0))
    total = _segments(jax.ops.segment_sum, unnormalized, edges, queries) + null
    return unnormalized / total[:, edges.target]


def read_edges(weights: Array, value: Array, edges: Edges, queries: int) -> Array:
    """Sums the values along the edges, ``y_i = sum_j w_ij v_j``.

    Args:
      weights: Weights of the edges, float32 ``[B, E, H]``.
      value: Values of the sources, ``[B, S, H, K]``.
      edges: The edges that the weights belong to.
      queries: Number of queries T.

    Returns:
      ``[B, T, H, K]`` in the type of the values, summed in float32.
    """
    sent = by_position(value[:, edges.source].astype(jnp.float32), weights)
    mixed = _segments(jax.ops.segment_sum, sent, edges, queries)
    return mixed.astype(value.dtype)


def _segments(reduction: Any, x: Array, edges: Edges, queries: int) -> Array:
    """A reduction of ``[B, E, ...]`` over the edges of each query, ``[B, T, ...]``."""

    def of_one(x: Array) -> Array:
        return reduction(x, edges.target, queries, indices_are_sorted=True)

    return jax.vmap(of_one)(x)
