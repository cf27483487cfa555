"""Collapse of a representation to low rank or to one direction.

Every measure takes ``x [T, D]``, one row per position. All measures are invariant to a
common factor. For an all-zero matrix they return NaN, since the limit depends on how
the matrix is approached.

References: Roy & Vetterli 2007, The effective rank (EUSIPCO); Dong et al. 2021,
Attention is not all you need (arXiv 2103.03404); Queipo-de-Llano et al. 2025, Attention
sinks and compression valleys (arXiv 2510.06477).
"""

import jax.numpy as jnp

from routers.base import Array
from routers.signature.spectrum import singular_values


def effective_rank(x: Array) -> Array:
    """``exp`` of the entropy of the normalised singular values (not squared).

    Args:
      x: Representation ``[T, D]``.

    Returns:
      A scalar between 1 (rank one) and ``min(T, D)``; NaN for an all-zero matrix.
    """
    return _rank_of(singular_values(x))


def ranks(x: Array) -> dict[str, Array]:
    """Effective and stable rank by name, from one decomposition.

    The stable rank is ``|X|_F^2 / sigma_1^2``, between 1 and the rank; NaN for an
    all-zero matrix.
    """
    values = singular_values(x)
    return {"effective_rank": _rank_of(values), "stable_rank": _stable_rank_of(values)}


def matrix_entropy(x: Array) -> Array:
    """Entropy of the normalised *squared* singular values, in nats.

    The shares are the eigenvalues of ``X X^T`` divided by its trace. One massive row
    makes it small. This is the quantity whose minimum over depth is a compression
    valley; it is not divided by ``ln T``.

    Args:
      x: Representation ``[T, D]``.

    Returns:
      A scalar between 0 (rank one) and ``ln min(T, D)``; NaN for an all-zero matrix.
    """
    values = singular_values(x)
    return _entropy((values / values[0]) ** 2)


def _rank_of(values: Array) -> Array:
    return jnp.exp(_entropy(values))


def _entropy(amounts: Array) -> Array:
    share = amounts / jnp.sum(amounts)
    logarithm = jnp.log(jnp.where(share > 0, share, 1.0))
    return -jnp.sum(share * logarithm)


def _stable_rank_of(values: Array) -> Array:
    return jnp.sum((values / values[0]) ** 2)


def participation_ratio(x: Array) -> Array:
    """``(sum lambda)^2 / sum lambda^2`` of the covariance over rows, in [1, D].

    It is computed from traces, ``tr(C)^2 / |C|_F^2``, so no eigenvalues are needed. NaN
    where all rows are equal, because there is no covariance.
    """
    x = _scaled(x)
    centred = x - jnp.mean(x, axis=0, keepdims=True)
    # Equal rows differ from their mean by rounding, which is not a covariance.
    rounding = 4 * jnp.finfo(x.dtype).eps * jnp.max(jnp.abs(x))
    centred = _scaled(jnp.where(jnp.abs(centred) > rounding, centred, 0.0))
    small = min(centred.shape)
    gram = centred.T @ centred if small == x.shape[1] else centred @ centred.T
    return jnp.sum(centred**2) ** 2 / jnp.sum(gram**2)


def mean_cosine(x: Array) -> Array:
    """Mean cosine of two different rows, in [-1, 1].

    Rows of zeros have no direction and are left out; NaN where fewer than two rows
    have one.
    """
    rows = normalize_rows(x)
    count = jnp.sum(jnp.any(x != 0, axis=-1))
    total = jnp.sum(jnp.sum(rows, axis=0) ** 2) - jnp.sum(rows**2)
    pairs = count * (count - 1)
    return jnp.where(pairs > 0, total / jnp.maximum(pairs, 1), jnp.nan)


def rank_one_residual(x: Array) -> Array:
    """``|R| / |X|`` with ``R = X - token mean`` and ``|.| = sqrt(|.|_1 |.|_inf)``.

    This follows the plotting code of Dong et al. and is an upper bound of their
    minimising form. 0 where all rows are equal; NaN for an all-zero matrix.
    """
    x = _scaled(x)
    return _mixed_norm(x - jnp.mean(x, axis=0, keepdims=True)) / _mixed_norm(x)


def normalize_rows(x: Array) -> Array:
    """Rows of ``x [T, D]`` scaled to length 1, float32; rows of zeros stay zero."""
    x = x.astype(jnp.float32)
    # Division by the largest entry first keeps squares in float32's range.
    for norm in (jnp.max(jnp.abs(x), axis=-1, keepdims=True), None):
        if norm is None:
            norm = jnp.linalg.norm(x, axis=-1, keepdims=True)
        x = x / jnp.where(norm > 0, norm, 1.0)
    return x


def without_row(x: Array, row: Array) -> Array:
    """``x [T, D]`` without one row, ``[T - 1, D]``; the index may be traced."""
    index = jnp.arange(x.shape[0] - 1)
    return x[index + (index >= row)]


def _scaled(x: Array) -> Array:
    x = x.astype(jnp.float32)
    scale = jnp.max(jnp.abs(x))
    return x / jnp.where(scale > 0, scale, 1.0)


def _mixed_norm(x: Array) -> Array:
    magnitude = jnp.abs(x)
    columns, rows = jnp.sum(magnitude, axis=0), jnp.sum(magnitude, axis=1)
    return jnp.sqrt(jnp.max(columns) * jnp.max(rows))
