"""Concentration of routing on few sources.

Measures of columns are primary: where a brake turns the matrix into the identity, every
row is sharp although there is no hub.

References: Gu et al. 2025, When Attention Sink Emerges (arXiv 2410.10781).
"""

import jax.numpy as jnp

from routers.base import Array

SINK_THRESHOLD = 0.3
"""Importance above which a source is a sink (Gu et al. 2025)."""


def importance(weights: Array, mask: Array) -> Array:
    """Mean weight of each source over the queries that can see it.

    ``alpha_j = sum_i A_ij / |{i : j visible to i}|``. On causal geometry column j has
    only T - j + 1 rows, so plain column means would favour early sources.

    Args:
      weights: Routing weights ``[H, T, S]``.
      mask: Mask, bool ``[T, S]``.

    Returns:
      ``alpha [H, S]``; 0 for a source that no query can see.
    """
    return mean_weight(jnp.sum(weights, axis=-2), mask)


def mean_weight(mass: Array, mask: Array) -> Array:
    """`importance` from column sums ``[..., S]``."""
    return mass / jnp.maximum(jnp.sum(mask, axis=0), 1)


def first_half(columns: Array) -> Array:
    """The first half of the sources, ``[H, S // 2]``.

    Where sources are ordered in time or depth, the last columns have too few rows to be
    called hubs: the last one has a single row, which a brake fills by itself.
    """
    return columns[..., : columns.shape[-1] // 2]


def hub(importance: Array) -> Array:
    """Index of the most important source, float32 ``[H]``."""
    return jnp.argmax(importance, axis=-1).astype(jnp.float32)


def hub_mass(importance: Array) -> Array:
    """``max_j alpha_j``, ``[H]``; on causal geometry taken over the first half.

    Uniform causal routing at T = 64 has ``H_T / T = .0741``; below T = 10 even uniform
    routing exceeds .3.
    """
    return jnp.max(importance, axis=-1)


def excess_of_sources(weights: Array, mask: Array) -> Array:
    """Column mass relative to uniform routing, ``rho [H, S]``.

    ``rho_j = sum_i A_ij / sum_i 1[j visible to i] / n_i``, where ``n_i`` is the number
    of sources of query i. 1 is the mass under uniform routing; 0 is reported for a
    source that no query can see. It makes the masses of sources comparable where
    sources have very different numbers of readers.

    Args:
      weights: Routing weights ``[H, T, S]``.
      mask: Mask, bool ``[T, S]``.
    """
    sources = jnp.sum(mask, axis=-1, keepdims=True)
    even = jnp.sum(mask / jnp.maximum(sources, 1), axis=0)
    column = jnp.sum(weights, axis=-2)
    return column / jnp.where(even > 0, even, 1.0)[None]


def first_source_sinks(importance: Array) -> Array:
    """1 where the importance of the first source exceeds .3, else 0, ``[H]``.

    The mean over sequences, layers and heads is the *sink rate* of Gu et al.
    """
    return (importance[..., 0] > SINK_THRESHOLD).astype(jnp.float32)


def first_source_mass(weights: Array, queries: Array) -> Array:
    """Mean weight of the first source over some of the queries, ``[H]``.

    Args:
      weights: Routing weights ``[H, T, S]``.
      queries: Which queries are counted, bool ``[T]``.

    Returns:
      The mean; NaN where no query is counted.
    """
    return jnp.mean(weights[..., 0], axis=-1, where=queries[None])


def column_shares(weights: Array) -> Array:
    """Share of every source in all mass, ``p [H, S]``; NaN where there is no mass."""
    column = jnp.sum(weights, axis=-2)
    return column / jnp.sum(column, axis=-1, keepdims=True)


def hhi(weights: Array) -> Array:
    """Herfindahl index of column mass times S, ``S sum_j p_j^2``, ``[H]``.

    Equal columns, as in the identity, give 1; a single column gives S; uniform causal
    routing at T = 64 gives 1.93.
    """
    share = column_shares(weights)
    return share.shape[-1] * jnp.sum(share**2, axis=-1)


def participation(weights: Array) -> Array:
    """``1 / sum_j p_j^2``, the effective number of sources, in [1, S], ``[H]``."""
    return 1.0 / jnp.sum(column_shares(weights) ** 2, axis=-1)


def perplexity(weights: Array) -> Array:
    """``exp H(p)``, the effective number by entropy, in [1, S], ``[H]``."""
    return jnp.exp(_entropy(column_shares(weights)))


def gini(weights: Array) -> Array:
    """Gini coefficient of column mass, from 0 (equal) to ``1 - 1/S``, ``[H]``.

    Uniform causal routing has ``(T - 1) / 2T``.
    """
    share = jnp.sort(column_shares(weights), axis=-1)
    size = share.shape[-1]
    place = 2 * jnp.arange(1, size + 1, dtype=share.dtype) - size - 1
    return jnp.sum(place[None] * share, axis=-1) / size


def row_peak(weights: Array) -> Array:
    """Mean over queries of ``max_j A_ij``, ``[H]``: sharpness of rows, not a sink."""
    return jnp.mean(jnp.max(weights, axis=-1), axis=-1)


def row_entropy(weights: Array, mask: Array) -> Array:
    """Mean over queries of the row entropy relative to uniform rows, in [0, 1].

    Each entropy is divided by the ``ln`` of the row's number of sources.

    Args:
      weights: Routing weights ``[H, T, S]``; rows are normalised to sum 1.
      mask: Mask, bool ``[T, S]``.

    Returns:
      ``[H]``. Rows with one source (``ln 1``) or without mass are left out; NaN where
      no row is left.
    """
    sources = jnp.sum(mask, axis=-1)
    total = jnp.sum(weights, axis=-1)
    counted = (sources > 1)[None] & (total > 0)
    shares = weights / jnp.where(total > 0, total, 1.0)[..., None]
    relative = _entropy(shares) / jnp.log(jnp.maximum(sources, 2))[None]
    return jnp.sum(relative * counted, axis=-1) / jnp.sum(counted, axis=-1)


def diagonal_mass(weights: Array) -> Array:
    """Mean ``A_ii``, ``[H]``: besides a sink, the other way to leave tokens unmixed.

    NaN where queries and sources differ (``T != S``, over depth).
    """
    heads, queries, sources = weights.shape
    if queries != sources:
        return jnp.full(heads, jnp.nan)
    return jnp.mean(jnp.diagonal(weights, axis1=-2, axis2=-1), axis=-1)


def _entropy(shares: Array) -> Array:
    logarithm = jnp.log(jnp.where(shares > 0, shares, 1.0))
    return -jnp.sum(shares * logarithm, axis=-1)
