"""Functions that the two state-space routers share: knobs, convolution, initial values.

Both weight source j for query i by a product of factors,

    A_ij = sum_n C_in exp(beta a_n sum_{m=j+1..i} Delta_m) B_jn Delta_j,

called ``read`` (C), ``write`` (B) and ``step`` (Delta, after softplus) here. The knobs
act on the factors, so that no knob needs a second scan:

- ``selectivity`` s: each factor is ``s x + (1 - s) frozen``, where frozen is a learned
  constant (a mean over the batch would leak the future). Delta is interpolated after
  softplus, so it stays positive. ``selectivity_step``, ``selectivity_write`` and
  ``selectivity_read`` do the same to Delta, B or C alone: the s of a factor is the
  product of the common knob and its own. A published model has no learned constants;
  `factor_means` and `frozen_at` put the means over a corpus in their place.
- ``content`` c: each factor is ``c x + (1 - c) constant``. The constants are 1 for C,
  1/N for B and 1 for the Delta that is written, so that their product is 1 for every
  pair. The Delta inside the exponent belongs to the brake and is not changed.
- ``brake`` beta multiplies only the log-decay.
"""

import math
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from routers.base import Array, Knob, Knobs
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
    "selectivity_step": Knob(
        1.0, 0.0, 1.0, "dependence of Delta on the input; at 0 a constant per channel"
    ),
    "selectivity_write": Knob(
        1.0, 0.0, 1.0, "dependence of B on the input; at 0 a constant"
    ),
    "selectivity_read": Knob(
        1.0, 0.0, 1.0, "dependence of C on the input; at 0 a constant"
    ),
}
"""The knobs of a state-space router."""

FACTORS = ("step", "write", "read")
"""The factors that depend on the input: Delta, B and C."""

SHORTEST_STEP, LONGEST_STEP = 1e-3, 1e-1  # as published


def blend(strength: Array, factor: Array, constant: Array | float) -> Array:
    """``strength * factor + (1 - strength) * constant``, in float32."""
    return strength * factor.astype(jnp.float32) + (1.0 - strength) * constant


def selectivities(knobs: Knobs) -> tuple[Array, ...]:
    """The weights of the input in Delta, B and C, each a scalar or ``[H]``."""
    common = knobs["selectivity"]
    return tuple(common * knobs[f"selectivity_{factor}"] for factor in FACTORS)


def factor_means(features: Any) -> dict[str, Array]:
    """Means of Delta (after softplus), B and C over batch and positions, float32.

    Args:
      features: Of either router, with fields ``step``, ``write`` and ``read`` whose
        first axes are ``[B, S]``; the other axes stay.
    """
    return {
        factor: jnp.mean(getattr(features, factor).astype(jnp.float32), axis=(0, 1))
        for factor in FACTORS
    }


def frozen_at(means: Mapping[str, Array]) -> dict[str, Array]:
    """The parameters that freeze Delta, B and C at given means, as `factor_means`."""
    return {
        "frozen_step": inverse_softplus(means["step"]).ravel(),
        "frozen_write": means["write"],
        "frozen_read": means["read"],
    }


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
    return inverse_softplus(
        jnp.exp(jax.random.uniform(key, shape, minval=low, maxval=high))
    )


def inverse_softplus(x: Array) -> Array:
    """What softplus takes to a positive ``x``, accurate for small and large ones."""
    return x + jnp.log(-jnp.expm1(-x))


def constant_product(state: int) -> nn.initializers.Initializer:
    """Initialises frozen B and C so that ``C . B = 1``, as at ``content = 0``."""
    return nn.initializers.constant(state**-0.5)


def causal(matrix: Array) -> Array:
    """``matrix [..., T, S]`` with 0 for sources after the query, even if not finite."""
    return jnp.where(jnp.tril(jnp.ones(matrix.shape[-2:], bool)), matrix, 0.0)
