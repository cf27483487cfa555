"""The softmax that routers share: masked, with a null source."""

import jax
import jax.numpy as jnp

from routers.base import Array


def masked_softmax(logits: Array, mask: Array, null_sink: Array) -> Array:
    """Softmax over allowed sources with an extra source of logit 0 and weight z.

    Args:
      logits: Logits, float32 ``[B, H, T, S]``.
      mask: Whether a source is allowed, bool, broadcastable to the logits. Every row
        must allow at least one source.
      null_sink: Weight z >= 0 of the extra source, shaped to broadcast; 0 gives the
        ordinary softmax.

    Returns:
      Weights of the S sources, float32; rows sum to 1 minus the share of the null
      source.
    """
    return _softmax(jnp.where(mask, logits, -jnp.inf), null_sink)


@jax.custom_vjp
def _softmax(logits: Array, null_sink: Array) -> Array:
    return _softmax_forward(logits, null_sink)[0]


def _softmax_forward(
    logits: Array, null_sink: Array
) -> tuple[Array, tuple[Array, Array, Array]]:
    floor = jnp.where(null_sink > 0, 0.0, -jnp.inf)
    top = jnp.maximum(jnp.max(logits, axis=-1, keepdims=True), floor)
    unnormalized = jnp.exp(logits - top)
    # At z > 0, top >= 0. At z = 0 only the derivative needs this; exact for top > -40.
    null = jnp.exp(jnp.minimum(-top, 40.0))
    total = jnp.sum(unnormalized, axis=-1, keepdims=True) + null_sink * null
    weights = unnormalized / total
    return weights, (weights, null / total, null_sink)


def _softmax_backward(
    saved: tuple[Array, Array, Array], gradient: Array
) -> tuple[Array, Array]:
    """From the weights alone: through the division a step took a tenth longer."""
    weights, null, null_sink = saved
    weighted = gradient * weights
    along = jnp.sum(weighted, axis=-1, keepdims=True)
    of_null = jnp.broadcast_to(-along * null, along.shape)
    axes = tuple(i for i, size in enumerate(null_sink.shape) if size == 1)
    return weighted - weights * along, jnp.sum(of_null, axis=axes, keepdims=True)


_softmax.defvjp(_softmax_forward, _softmax_backward)
