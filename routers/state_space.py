"""What the two state-space routers share: knobs, convolution, signed routing.

Both weigh source j for query i by a product of factors,

    A_ij = sum_n C_in exp(beta a_n sum_{m=j+1..i} Delta_m) B_jn Delta_j,

called here ``read`` (C), ``write`` (B) and ``step`` (Delta, after softplus). The knobs
act on the factors, so that neither needs a second scan:

- ``selectivity`` s: each factor is ``s x + (1 - s) frozen``, frozen a learned constant
  (a mean over the batch would leak the future). Delta is averaged after softplus, so
  it stays positive.
- ``content`` c: each factor is ``c x + (1 - c) constant`` with constants 1 for C, 1/N
  for B and 1 for the Delta that is written, whose product is 1 for every pair. The
  Delta inside the exponent belongs to the brake and is left alone.
- ``brake`` beta multiplies the log-decay and nothing else.
"""

import math
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from routers.base import Array, Knob
from routers.scaling import by_channel

KNOBS: Mapping[str, Knob] = {
    "brake": Knob(
        1.0, 0.0, math.inf, "scale of the log-decay; 0 undamped sum, inf diagonal"
    ),
    "content": Knob(1.0, 0.0, 1.0, "of the factors C, B, Delta; 0 leaves the brake"),
    "selectivity": Knob(
        1.0, 0.0, 1.0, "of Delta, B, C on the input; 0 depends on i - j only"
    ),
}
"""The knobs of a state-space router."""

SHORTEST_STEP, LONGEST_STEP = 1e-3, 1e-1


def blend(strength: Array, factor: Array, constant: Array | float) -> Array:
    """``strength * factor + (1 - strength) * constant``, in float32."""
    return strength * factor.astype(jnp.float32) + (1.0 - strength) * constant


def causal_convolution(x: Array, kernel: Array, bias: Array) -> Array:
    """Depthwise convolution of ``x [B, S, I]`` over the past, same dtype and shape.

    Args:
      x: input; positions before the first count as zero.
      kernel: ``[W, I]``, the last row multiplies the present.
      bias: ``[I]``.

    Returns:
      ``y_t = bias + sum_w kernel_w x_{t - W + 1 + w}``.
    """
    window, length = kernel.shape[0], x.shape[1]
    padded = jnp.pad(x, ((0, 0), (window - 1, 0), (0, 0)))
    # A sum of shifted copies: a window of 4 is too short to pay for a convolution.
    shifted = (by_channel(padded[:, w : w + length], kernel[w]) for w in range(window))
    return sum(shifted, start=jnp.broadcast_to(bias, x.shape))


def step_bias(key: Array, shape: tuple[int, ...]) -> Array:
    """Bias whose softplus is log-uniform between the published shortest and longest."""
    low, high = math.log(SHORTEST_STEP), math.log(LONGEST_STEP)
    step = jnp.exp(jax.random.uniform(key, shape, minval=low, maxval=high))
    return step + jnp.log(-jnp.expm1(-step))


def constant_product(state: int) -> nn.initializers.Initializer:
    """Initialises frozen B and C so that ``C . B = 1``, as at ``content = 0``."""
    return nn.initializers.constant(state**-0.5)


def causal(matrix: Array) -> Array:
    """``matrix [..., T, S]`` with 0 for sources after the query, whatever was there."""
    return jnp.where(jnp.tril(jnp.ones(matrix.shape[-2:], bool)), matrix, 0.0)
