"""Functions that the two state-space routers share: knobs, convolution, initial values.

Both weight source j for query i by a product of factors,

    A_ij = sum_n C_in exp(beta a_n sum_{m=j+1..i} Delta_m) B_jn Delta_j,

called ``read`` (C), ``write`` (B) and ``step`` (Delta, after softplus) here. The knobs
act on the factors, so that no knob needs a second scan:

- ``selectivity`` s: each factor is ``s x + (1 - s) frozen``, where frozen is a learned
  constant (a mean over the batch would leak the future). Delta is interpolated after
  softplus, so it stays positive.
- ``content`` c: each factor is ``c x + (1 - c) constant``. The constants are 1 for C,
  1/N for B and 1 for the Delta that is written, so that their product is 1 for every
  pair. The Delta inside the exponent belongs to the brake and is not changed.
- ``brake`` beta multiplies only the log-decay.
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
        1.0,
        0.0,
        math.inf,
        "scale of the log-decay; at 0 undamped, towards inf the diagonal",
    ),
    "content": Knob(
        1.0,
        0.0,
        1.0,
        "weight of the input in C, B and Delta; at 0 only the brake is left",
    ),
    "selectivity": Knob(
        1.0, 0.0, 1.0, "dependence of Delta, B and C on the input; at 0 on i - j only"
    ),
}
"""The knobs of a state-space router."""

SHORTEST_STEP, LONGEST_STEP = 1e-3, 1e-1  # as published


def blend(strength: Array, factor: Array, constant: Array | float) -> Array:
    """``strength * factor + (1 - strength) * constant``, in float32."""
    return strength * factor.astype(jnp.float32) + (1.0 - strength) * constant


def causal_convolution(x: Array, kernel: Array, bias: Array) -> Array:
    """Depthwise convolution of ``x [B, S, I]`` over the past, same dtype and shape.

    Args:
      x: Input; positions before the first count as zero.
      kernel: Kernel ``[W, I]``, whose last row multiplies the present position.
      bias: Bias ``[I]``.

    Returns:
      ``y_t = bias + sum_w kernel_w x_{t - W + 1 + w}``.
    """
    window, length = kernel.shape[0], x.shape[1]
    padded = jnp.pad(x, ((0, 0), (window - 1, 0), (0, 0)))
    # For a window of 4, a sum of shifted copies is cheaper than a convolution.
    shifted = (by_channel(padded[:, w : w + length], kernel[w]) for w in range(window))
    return sum(shifted, start=jnp.broadcast_to(bias, x.shape))


def step_bias(key: Array, shape: tuple[int, ...]) -> Array:
    """Bias whose softplus is log-uniform between the shortest and the longest step."""
    low, high = math.log(SHORTEST_STEP), math.log(LONGEST_STEP)
    step = jnp.exp(jax.random.uniform(key, shape, minval=low, maxval=high))
    return step + jnp.log(-jnp.expm1(-step))


def constant_product(state: int) -> nn.initializers.Initializer:
    """Initialises frozen B and C so that ``C . B = 1``, as at ``content = 0``."""
    return nn.initializers.constant(state**-0.5)


def causal(matrix: Array) -> Array:
    """``matrix [..., T, S]`` with 0 for sources after the query, even if not finite."""
    return jnp.where(jnp.tril(jnp.ones(matrix.shape[-2:], bool)), matrix, 0.0)
