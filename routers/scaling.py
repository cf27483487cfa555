"""Products with factors that many numbers share, and their factors' gradients.

The gradient of such a factor is a sum over all that it multiplied. Here it is taken as
a matrix product with ones: XLA's CPU reductions of products take 15 times as long.
"""

import jax
import jax.numpy as jnp

from routers.base import Array


@jax.custom_vjp
def by_channel(x: Array, factor: Array) -> Array:
    """``x [..., *C] * factor [*C]``, the same at every position."""
    return x * factor


def _channel_forward(x: Array, factor: Array) -> tuple[Array, tuple[Array, Array]]:
    return by_channel(x, factor), (x, factor)


def _channel_backward(
    saved: tuple[Array, Array], gradient: Array
) -> tuple[Array, Array]:
    x, factor = saved
    products = (gradient * x).reshape(-1, factor.size)
    total = _product(jnp.ones(len(products), x.dtype), products).reshape(factor.shape)
    return (gradient * factor).astype(x.dtype), total.astype(factor.dtype)


by_channel.defvjp(_channel_forward, _channel_backward)


@jax.custom_vjp
def by_position(x: Array, factor: Array) -> Array:
    """``x [..., H, P] * factor [..., 1 or H]``, the same for all channels P."""
    return x * factor[..., None]


def _position_forward(x: Array, factor: Array) -> tuple[Array, tuple[Array, Array]]:
    return by_position(x, factor), (x, factor)


def _position_backward(
    saved: tuple[Array, Array], gradient: Array
) -> tuple[Array, Array]:
    x, factor = saved
    total = _product(gradient * x, jnp.ones(x.shape[-1], x.dtype))
    if factor.shape[-1] != total.shape[-1]:  # one factor for all heads
        total = jnp.sum(total, axis=-1, keepdims=True)
    return (gradient * factor[..., None]).astype(x.dtype), total.astype(factor.dtype)


by_position.defvjp(_position_forward, _position_backward)


def _product(x: Array, y: Array) -> Array:
    """Accumulated in float32, whatever the platform's default for products."""
    highest = jax.lax.Precision.HIGHEST
    return jnp.dot(x, y, precision=highest, preferred_element_type=jnp.float32)
