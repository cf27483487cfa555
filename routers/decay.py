"""Functions that all routers with decays share: exact log-decay sums, and shares.

A router with decays weights source j for query i by ``exp(sum_{m=j+1..i} g_m)`` with
log-decays ``g_m <= 0``. Differences of long cumulative sums lose accuracy and the
factored form ``exp(G_i) exp(-G_j)`` overflows, so neither is used here.
"""

import jax.numpy as jnp

from routers.base import Array, Geometry


def segment_sums(log_decay: Array) -> Array:
    """Log-decay from every source to every query, each sum computed on its own.

    Args:
      log_decay: Log-decays ``g_m``, float32 ``[..., T]``.

    Returns:
      ``[..., T, S]``: ``sum_{m=j+1..i} g_m`` for ``j <= i``, 0 elsewhere.
    """
    length = log_decay.shape[-1]
    step, source = jnp.arange(length)[:, None], jnp.arange(length)[None, :]
    terms = jnp.where(step > source, log_decay[..., :, None], 0.0)
    return jnp.cumsum(terms, axis=-2)


def signed_shares(matrix: Array) -> tuple[Array, Array]:
    """Row-normalised magnitudes and the cancellation ratio of a signed matrix.

    A row of zero magnitude (whose read or write vectors vanish) is given the limit of a
    strong brake: all of its mass on the diagonal, and nothing cancelled.

    Args:
      matrix: Signed matrix, float32 ``[..., T, S]`` with T = S.

    Returns:
      ``|A_ij| / sum_j |A_ij|``, ``[..., T, S]``, and
      ``|sum_j A_ij| / sum_j |A_ij|``, ``[..., T]``.
    """
    magnitude = jnp.abs(matrix)
    # Scale by the largest entry first: a sum of subnormals would be flushed to zero.
    top = jnp.max(magnitude, axis=-1, keepdims=True)
    empty = top < jnp.finfo(matrix.dtype).tiny
    scaled = matrix / jnp.where(empty, 1.0, top)
    total = jnp.where(empty[..., 0], 1.0, jnp.sum(jnp.abs(scaled), axis=-1))
    diagonal = jnp.broadcast_to(jnp.eye(matrix.shape[-1]), matrix.shape)
    shares = jnp.where(empty, diagonal, jnp.abs(scaled) / total[..., None])
    cancellation = jnp.abs(jnp.sum(scaled, axis=-1)) / total
    return shares, jnp.where(empty[..., 0], 1.0, cancellation)


def require_whole_sequences(geometry: Geometry) -> None:
    """Raises ValueError for a mask per batch element: a state cannot skip sources."""
    if geometry.mask.ndim != 2:
        raise ValueError(
            f"mask of shape {geometry.mask.shape}: a recurrent router needs one causal "
            "mask [T, S], since its state would run across packed documents"
        )
