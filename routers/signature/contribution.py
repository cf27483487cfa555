"""What each source contributes to the output, not only how much it is weighted.

    omega_ij = A_ij (v_j . y_i) / |y_i|^2,        y_i = sum_j A_ij v_j

The shares of a query sum to 1 and are signed. A sink whose value is drained contributes
little only while ``A_i1 |v_1|`` is well below the rest: at attention .999 even a value
100 times shorter makes up the whole output, so the output's length stands beside it.
"""

import jax.numpy as jnp

from routers.base import Array


def contributions(weights: Array, values: Array) -> Array:
    """Signed shares ``omega [H, T, S]``; each row sums to 1.

    Args:
      weights: ``[H, T, S]``, such that a head's output is ``weights @ values``.
      values: ``[H, S, K]``.

    Returns:
      float32; NaN in the rows whose output is zero: nothing to share.
    """
    values = _scaled(values)
    output = jnp.einsum("hts,hsk->htk", weights, values)
    size = jnp.max(jnp.abs(output), axis=-1, keepdims=True)  # keeps squares in range
    direction = output / size
    along = jnp.einsum("htk,hsk->hts", direction, values)
    square = jnp.sum(direction**2, axis=-1, keepdims=True)
    return weights * along / (square * size)


def share_of_source(omega: Array, source: Array) -> Array:
    """Mean share of one source over all queries with an output, ``[H]``.

    Args:
      omega: from `contributions`.
      source: index, ``[H]``.

    Returns:
      Signed; NaN where no query has an output.
    """
    index = source.astype(jnp.int32)[:, None, None]
    return jnp.nanmean(jnp.take_along_axis(omega, index, axis=-1)[..., 0], axis=-1)


def output_length(weights: Array, values: Array) -> Array:
    """Mean over queries of ``|y_i| / median_j |v_j|``, ``[H]``.

    Arguments as in `contributions`. NaN where the median is 0: no scale.
    """
    values = _scaled(values)
    output = jnp.einsum("hts,hsk->htk", weights, values)
    lengths = jnp.linalg.norm(output, axis=-1)
    median = jnp.median(jnp.linalg.norm(values, axis=-1), axis=-1)
    ratio = jnp.mean(lengths, axis=-1) / jnp.where(median > 0, median, 1.0)
    return jnp.where(median > 0, ratio, jnp.nan)


def _scaled(values: Array) -> Array:
    """Each head's values over its largest entry: all measures here are ratios."""
    values = values.astype(jnp.float32)
    scale = jnp.max(jnp.abs(values), axis=(-2, -1), keepdims=True)
    return values / jnp.where(scale > 0, scale, 1.0)
