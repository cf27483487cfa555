"""Collapse of the routed representation to low rank.

Reference: Roy & Vetterli 2007, The effective rank (EUSIPCO).
"""

import jax
import jax.numpy as jnp

from routers.base import Array


# One matrix at a time: on several single-threaded CPU devices LAPACK's batched
# kernel waits for pool threads that the devices themselves occupy, for ever.
@jax.custom_batching.sequential_vmap
def _singular_values(x: Array) -> Array:
    return jnp.linalg.svd(x, compute_uv=False)


def effective_rank(x: Array) -> Array:
    """``exp`` of the entropy of the normalised singular values (not squared).

    Args:
      x: ``[T, D]``.

    Returns:
      Scalar between 1 (rank one) and ``min(T, D)``; 1 for an all-zero matrix, the
      limit of any rank-one one.
    """
    values = _singular_values(x.astype(jnp.float32))
    total = jnp.sum(values)
    share = values / jnp.maximum(total, jnp.finfo(values.dtype).tiny)
    logarithm = jnp.log(jnp.where(share > 0, share, 1.0))
    return jnp.exp(-jnp.sum(share * logarithm))
