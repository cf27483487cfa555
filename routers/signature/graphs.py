"""Smoothness of node representations along the edges of a graph.

References: Cai & Wang 2020, A note on over-smoothing (arXiv 2006.13318); Chen et al.
2020, Measuring and relieving over-smoothing (MAD, arXiv 1909.03211). It differs from
the latter in that all edges of a node are averaged, including those of distance exactly
0.
"""

import jax
import jax.numpy as jnp

from routers.base import Array, Geometry
from routers.signature.collapse import normalize_rows


def adjacency(geometry: Geometry) -> Array:
    """Whether two nodes are one hop apart, bool ``[N, N]``."""
    return geometry.mask & (geometry.distance == 1)


def dirichlet_energy(x: Array, edges: Array) -> Array:
    """Mean over edges of ``|x_i - x_j|^2``; NaN without edges.

    Args:
      x: Node representations ``[N, D]``.
      edges: Edges as a matrix, bool ``[N, N]``. In a symmetric one every edge counts
        twice, which leaves the mean unchanged.
    """
    total = jnp.sum(jnp.where(edges, _squared_distances(x), 0.0))
    return total / jnp.sum(edges)


def relative_dirichlet_energy(x: Array, edges: Array) -> Array:
    """`dirichlet_energy` divided by ``|X|_F^2``; NaN for an all-zero matrix."""
    x = x.astype(jnp.float32)
    scale = jnp.max(jnp.abs(x))
    x = x / jnp.where(scale > 0, scale, 1.0)
    return dirichlet_energy(x, edges) / jnp.sum(x**2)


def mean_average_distance(x: Array, edges: Array) -> Array:
    """MAD: mean over nodes of the mean cosine distance to their neighbours, in [0, 2].

    Pairs with a row of zeros have no cosine and are left out; NaN where no pair is
    left. Arguments as in `dirichlet_energy`.
    """
    rows = normalize_rows(x)
    counted = jnp.any(x != 0, axis=-1)
    pairs = edges & counted[:, None] & counted[None]
    # This is 1 - cos of unit rows; computed as 1 - cos, nearly equal rows would lose
    # all digits.
    distance = jnp.where(pairs, _squared_distances(rows) / 2, 0.0)
    degree = jnp.sum(pairs, axis=-1)
    of_node = jnp.sum(distance, axis=-1) / jnp.maximum(degree, 1)
    return jnp.sum(of_node) / jnp.sum(degree > 0)


def _squared_distances(x: Array) -> Array:
    """``|x_i - x_j|^2 [N, N]``, by channel: no cancellation and little memory."""

    def add(total: Array, channel: Array) -> tuple[Array, None]:
        return total + (channel[:, None] - channel[None]) ** 2, None

    zero = jnp.zeros((x.shape[0], x.shape[0]), jnp.float32)
    return jax.lax.scan(add, zero, x.astype(jnp.float32).T)[0]
