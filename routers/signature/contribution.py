"""Contribution of each source to the output, beyond the weight that it is given.

    omega_ij = A_ij (v_j . y_i) / |y_i|^2,        y_i = sum_j A_ij v_j

The shares of a query sum to 1 and are signed. A sink with a very short value
contributes little only while ``A_i1 |v_1|`` is well below the rest: at attention .999
even a value 100 times shorter makes up the whole output. The output's length is
therefore reported as well.
"""

import jax.numpy as jnp

from routers.base import Array


def contributions(weights: Array, values: Array) -> Array:
    """Signed shares ``omega [H, T, S]``; each row sums to 1.

    Args:
      weights: Routing weights ``[H, T, S]``, such that the output of a head is
        ``weights @ values``.
      values: Values ``[H, S, K]``.

    Returns:
      Shares, float32; NaN in rows whose output is zero.
    """
    values = _scale_values(values)
    output = jnp.einsum("hts,hsk->htk", weights, values)
    size = jnp.max(jnp.abs(output), axis=-1, keepdims=True)  # keeps squares in range
    direction = output / size
    along = jnp.einsum("htk,hsk->hts", direction, values)
    square = jnp.sum(direction**2, axis=-1, keepdims=True)
    return weights * along / (square * size)


def share_of_source(omega: Array, source: Array) -> Array:
    """Mean share of one source over all queries with an output, ``[H]``.

    Args:
      omega: Shares from `contributions`.
      source: Index of the source, ``[H]``.

    Returns:
      The signed share; NaN where no query has an output.
    """
    index = source.astype(jnp.int32)[:, None, None]
    return jnp.nanmean(jnp.take_along_axis(omega, index, axis=-1)[..., 0], axis=-1)


def output_length(weights: Array, values: Array) -> Array:
    """Mean over queries of ``|y_i| / median_j |v_j|``, ``[H]``.

    Arguments as in `contributions`. NaN where the median, and so the scale, is 0.
    """
    values = _scale_values(values)
    output = jnp.einsum("hts,hsk->htk", weights, values)
    lengths = jnp.linalg.norm(output, axis=-1)
    median = jnp.median(jnp.linalg.norm(values, axis=-1), axis=-1)
    ratio = jnp.mean(lengths, axis=-1) / jnp.where(median > 0, median, 1.0)
    return jnp.where(median > 0, ratio, jnp.nan)


def _scale_values(values: Array) -> Array:
    """Values divided by their head's largest entry: all measures here are ratios."""
    values = values.astype(jnp.float32)
    scale = jnp.max(jnp.abs(values), axis=(-2, -1), keepdims=True)
    return values / jnp.where(scale > 0, scale, 1.0)
