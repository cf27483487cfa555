"""Singular values, and the spectral ratio of a routing matrix."""

import jax
import jax.numpy as jnp

from routers.base import Array

ROUNDING = 2.0
"""Singular values below this many float32 roundings of the largest count as zero.

The SVD leaves up to about one rounding where the exact value is 0 (measured .4 to .6
on rank 1 to 8 of 64). With 63 of them this would show in an entropy; the values that
are set to zero add less than 4e-6 each."""


# One matrix at a time: on several single-threaded CPU devices LAPACK's batched kernel
# waits forever for pool threads that the devices themselves occupy.
@jax.custom_batching.sequential_vmap
def _decompose(x: Array) -> Array:
    return jnp.linalg.svd(x, compute_uv=False)


def singular_values(x: Array) -> Array:
    """Singular values of ``x [T, D]``, decreasing, float32, with rounding set to 0.

    The matrix is divided by its largest entry first, so that neither very small nor
    very large entries leave float32's range. The values returned are those of ``x``.
    """
    x = x.astype(jnp.float32)
    scale = jnp.max(jnp.abs(x), initial=0.0)
    scale = jnp.where(scale > 0, scale, 1.0)
    values = _decompose(x / scale)
    floor = ROUNDING * jnp.finfo(jnp.float32).eps * values[:1]
    return jnp.where(values > floor, values, 0.0) * scale


def spectral_ratio(weights: Array) -> Array:
    """``sigma_2 / sigma_1`` of each routing matrix ``[H, T, S]``, ``[H]``.

    Singular values are used because the eigenvalues of a causal matrix are just its
    diagonal. A rank-one matrix (one query, one source, or all rows parallel) has the
    ratio 0; the identity, for example, has 1. NaN for an all-zero matrix, whose ratio
    is 0/0.
    """

    def of_head(matrix: Array) -> Array:
        values = singular_values(matrix)
        second = values[1] if values.shape[0] > 1 else jnp.zeros(())
        return second / values[0]

    return jax.vmap(of_head)(weights)
