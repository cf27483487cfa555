"""Singular values, and what they say of a routing matrix."""

import jax
import jax.numpy as jnp

from routers.base import Array

ROUNDING = 2.0
"""Singular values below this many float32 roundings of the largest count as zero.

The SVD leaves up to about one rounding where the exact value is 0 (measured .4 to .6
on rank 1 to 8 of 64), which 63 times over would show in an entropy; what is cut adds
less than 4e-6 each."""


# One matrix at a time: on several single-threaded CPU devices LAPACK's batched
# kernel waits for pool threads that the devices themselves occupy, for ever.
@jax.custom_batching.sequential_vmap
def _decompose(x: Array) -> Array:
    return jnp.linalg.svd(x, compute_uv=False)


def singular_values(x: Array) -> Array:
    """Singular values of ``x [T, D]``, decreasing, rounding set to 0, float32.

    The matrix is scaled by its largest entry first, so that neither very small nor
    very large ones leave float32's range; the values are those of ``x``.
    """
    x = x.astype(jnp.float32)
    scale = jnp.max(jnp.abs(x), initial=0.0)
    scale = jnp.where(scale > 0, scale, 1.0)
    values = _decompose(x / scale)
    floor = ROUNDING * jnp.finfo(jnp.float32).eps * values[:1]
    return jnp.where(values > floor, values, 0.0) * scale


def spectral_ratio(weights: Array) -> Array:
    """``sigma_2 / sigma_1`` of each routing matrix ``[H, T, S]``, ``[H]``.

    Of a causal matrix the eigenvalues are just its diagonal, so singular values are
    taken. 0 is a rank-one matrix: one query or one source, or all rows parallel; 1 is
    for example the identity. NaN for an all-zero matrix, whose ratio is 0/0.
    """

    def of_head(matrix: Array) -> Array:
        values = singular_values(matrix)
        second = values[1] if values.shape[0] > 1 else jnp.zeros(())
        return second / values[0]

    return jax.vmap(of_head)(weights)
