"""Concentration of routing on few sources.

Column measures are primary: where a brake turns the matrix into the identity every
row is sharp and there is no hub.

References: Gu et al. 2025, When Attention Sink Emerges (arXiv 2410.10781).
"""

import jax.numpy as jnp

from routers.base import Array

SINK_THRESHOLD = 0.3
"""Least importance of a sink (Gu et al. 2025)."""


def importance(weights: Array, mask: Array) -> Array:
    """Mean weight of each source over the queries that can see it.

    ``alpha_j = sum_i A_ij / |{i : j visible to i}|``; on causal geometry column j
    has only T - j + 1 rows, so plain column means would favour early sources.

    Args:
      weights: ``[H, T, S]``.
      mask: bool ``[T, S]``.

    Returns:
      ``alpha [H, S]``; 0 for a source that nobody can see.
    """
    readers = jnp.sum(mask, axis=0)
    return jnp.sum(weights, axis=-2) / jnp.maximum(readers, 1)[None]


def first_half(columns: Array) -> Array:
    """The first half of the sources, ``[H, S // 2]``.

    Where sources come one after another (in time or depth) the last columns have too
    few rows to be called hubs: the very last has one, which a brake fills by itself.
    """
    return columns[..., : columns.shape[-1] // 2]


def hub(importance: Array) -> Array:
    """Index of the most important source, float32 ``[H]``."""
    return jnp.argmax(importance, axis=-1).astype(jnp.float32)


def hub_mass(importance: Array) -> Array:
    """``max_j alpha_j``, ``[H]``; on causal geometry of the first half.

    Uniform causal routing at T = 64 has ``H_T / T = .0741``; below T = 10 even that
    exceeds .3.
    """
    return jnp.max(importance, axis=-1)


def excess(weights: Array, mask: Array) -> Array:
    """Column mass over what uniform routing gives that column, ``[H, S]``.

    ``sum_i A_ij / sum_i 1[j visible to i] / n_i`` with ``n_i`` the sources of query i:
    1 is an even share. Where sources see very different numbers of readers it is the
    fair form of a hub's mass.

    Args:
      weights: ``[H, T, S]``.
      mask: bool ``[T, S]``.
    """
    sources = jnp.sum(mask, axis=-1, keepdims=True)
    even = jnp.sum(mask / jnp.maximum(sources, 1), axis=0)
    column = jnp.sum(weights, axis=-2)
    tiny = jnp.finfo(column.dtype).tiny
    return column / jnp.maximum(even, tiny)[None]


def first_source_sinks(importance: Array) -> Array:
    """1 where the first source's importance exceeds .3, else 0, ``[H]``.

    Its mean over sequences, layers and heads is the *sink rate* of Gu et al.
    """
    return (importance[..., 0] > SINK_THRESHOLD).astype(jnp.float32)


def hhi(weights: Array) -> Array:
    """Herfindahl index of column mass times S, ``S sum_j p_j^2``, ``[H]``.

    ``p_j`` is column j's share of all mass. Even columns (also the identity) give
    1, one column S; uniform causal routing at T = 64 gives 1.93.
    """
    column = jnp.sum(weights, axis=-2)
    total = jnp.sum(column, axis=-1, keepdims=True)
    share = column / jnp.maximum(total, jnp.finfo(column.dtype).tiny)
    return share.shape[-1] * jnp.sum(share**2, axis=-1)
