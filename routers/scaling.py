"""Products with shared factors, with a faster gradient for the factor.

The gradient of a factor that multiplies many numbers is a sum over all of them. Here
that sum is a matrix product with ones, because XLA's CPU reductions of products take 15
times as long.
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
    """``x @ y`` accumulated in float32, whatever the platform's default precision."""
    highest = jax.lax.Precision.HIGHEST
    return jnp.dot(x, y, precision=highest, preferred_element_type=jnp.float32)
