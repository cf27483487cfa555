"""Stratification of key norms."""

import jax.numpy as jnp

from routers.base import Array


def variation(key_norms: Array) -> Array:
    """Standard deviation over mean of the key norms ``[H, S]``, ``[H]``."""
    mean = jnp.mean(key_norms, axis=-1)
    return jnp.std(key_norms, axis=-1) / jnp.maximum(mean, jnp.finfo(mean.dtype).tiny)


def hub_log_ratio(key_norms: Array, hub: Array) -> Array:
    """``ln(|k_hub| / median |k|)``, ``[H]``; two-sided, a sink's key can be shorter.

    Args:
      key_norms: ``[H, S]``.
      hub: index of the hub source, ``[H]``.
    """
    tiny = jnp.finfo(key_norms.dtype).tiny
    index = hub.astype(jnp.int32)[..., None]
    at_hub = jnp.take_along_axis(key_norms, index, axis=-1)[..., 0]
    median = jnp.median(key_norms, axis=-1)
    return jnp.log(jnp.maximum(at_hub, tiny)) - jnp.log(jnp.maximum(median, tiny))
