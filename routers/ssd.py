"""State space with one decay per head (Mamba-2, SSD): linear attention that forgets.

    A_ij = (C_i . B_j) exp(beta a_h sum_{m=j+1..i} Delta_m) Delta_j       (per head)
    y    = out( RMSNorm( (A x + D x) * SiLU(z) ) )

``[x, B, C] = SiLU(conv(in(.)))``, B and C shared by the heads of a group, ``Delta =
clamp(softplus(in(.) + bias))``, ``a = -exp(a_log)``. The brake ``beta`` multiplies the
log-decay ``a Delta`` only, never the Delta that is written. Neutral: 1, as published.
Limits: at 0 the router is an undamped sum, linear attention without decay; as the brake
grows only the diagonal ``C_i . B_i Delta_i`` is left. The other knobs are explained in
`routers.state_space`.

The matrix acts on x, after the convolution and before skip, gate and norm. Rows are
normalised per head; all channels of a head share one matrix, so nothing is averaged.
A row of zero magnitude reports the diagonal.

Reference: Dao and Gu 2024 (arXiv 2405.21060), agreeing with the transformers
library; the norm is per group of heads. It differs from the paper in two ways: weights
are drawn from one normal distribution, and frozen constants are added for
``selectivity``.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from routers import state_space
from routers.base import Array, Geometry, Knob, Knobs, Router, Routing, head_norms
from routers.decay import require_whole_sequences, signed_shares
from routers.ssd_scan import SSDFactors, ssd_matrix, ssd_scan
from routers.state_space import blend
from routers.validation import head_width, require_at_least

EPSILON = 1e-5


@dataclasses.dataclass(frozen=True)
class SSDConfig:
    """Static settings of `SSD`.

    Attributes:
      expand: Number of inner channels per model channel, I = expand * D.
      state: Size of B and C, N.
      conv: Window of the causal convolution; 1 means no convolution.
      heads: Number of heads H; must divide I.
      groups: Number of groups of heads that share B and C; must divide H.
      step_limit: Least and greatest Delta, applied after softplus.
      init_scale: Standard deviation of the initial weight matrices.
      dtype: Type of the matrix products; Delta, state and routing are always float32.
    """

    expand: int = 2
    state: int = 16
    conv: int = 4
    heads: int = 1
    groups: int = 1
    step_limit: tuple[float, float] = (0.0, math.inf)
    init_scale: float = 0.1
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        require_at_least(
            1,
            expand=self.expand,
            state=self.state,
            conv=self.conv,
            heads=self.heads,
            groups=self.groups,
        )
        head_width(self.heads, self.groups, "groups", "the number of heads")
        low, high = self.step_limit
        if not 0 <= low <= high:
            raise ValueError(
                f"step_limit={self.step_limit}: must satisfy 0 <= low <= high"
            )


class SSDFeatures(struct.PyTreeNode):
    """Projected input; G groups of R heads, P channels in each head.

    Attributes:
      value: x after the convolution, ``[B, S, G, R, P]``.
      gate: z, ``[B, S, I]``.
      step: Delta after softplus and clamp, float32 ``[B, S, G, R]``.
      write: Factor B after the convolution, ``[B, S, G, N]``.
      read: Factor C after the convolution, ``[B, S, G, N]``.
    """

    value: Array
    gate: Array
    step: Array
    write: Array
    read: Array


class SSD(Router):
    """The Mamba-2 mixer; see the module docstring for the equation."""

    config: SSDConfig = SSDConfig()

    kinds: ClassVar[frozenset[str]] = frozenset({"causal"})
    knobs: ClassVar[Mapping[str, Knob]] = state_space.KNOBS

    def setup(self) -> None:
        """Declares the weights; one matrix produces gate, x, B, C and Delta."""
        config = self.config
        inner, heads = config.expand * self.width, config.heads
        head_width(inner, heads, whole="the inner width")
        normal = nn.initializers.normal(config.init_scale)
        zeros, ones = nn.initializers.zeros, nn.initializers.ones
        convolved = inner + 2 * config.groups * config.state
        parts = inner + convolved + heads
        self.input = self.param("input", normal, (self.width, parts))
        self.kernel = self.param("kernel", normal, (config.conv, convolved))
        self.kernel_bias = self.param("kernel_bias", zeros, (convolved,))
        self.step_bias = self.param("step_bias", state_space.step_bias, (heads,))
        self.log_rate = self.param("log_rate", _rates_by_head, (heads,))
        self.skip = self.param("skip", ones, (heads,))
        self.scale = self.param("scale", ones, (inner,))
        self.out = self.param("out", normal, (inner, self.width))
        frozen, constant = (
            (config.groups, config.state),
            state_space.constant_product(config.state),
        )
        self.frozen_step = self.param("frozen_step", state_space.step_bias, (heads,))
        self.frozen_write = self.param("frozen_write", constant, frozen)
        self.frozen_read = self.param("frozen_read", constant, frozen)

    def project(self, x: Array) -> SSDFeatures:
        """Value, gate, Delta, B and C of ``x [B, S, D]``."""
        config, dtype = self.config, self.config.dtype
        batch, length, width = x.shape
        inner, heads = config.expand * width, config.heads
        flat = x.reshape(-1, width).astype(dtype) @ self.input.astype(dtype)
        fused = flat.reshape(batch, length, -1)
        gate, convolved, step = jnp.split(fused, [inner, fused.shape[-1] - heads], -1)
        kernel, bias = self.kernel.astype(dtype), self.kernel_bias.astype(dtype)
        convolved = jax.nn.silu(state_space.causal_convolution(convolved, kernel, bias))
        split = [inner, inner + config.groups * config.state]
        value, write, read = jnp.split(convolved, split, axis=-1)
        step = jax.nn.softplus(step.astype(jnp.float32) + self.step_bias)
        per_group = (batch, length, config.groups, config.state)
        per_head = (batch, length, config.groups, heads // config.groups)
        return SSDFeatures(
            value=value.reshape(*per_head, inner // heads),
            gate=gate,
            step=jnp.clip(step, *config.step_limit).reshape(per_head),
            write=write.reshape(per_group),
            read=read.reshape(per_group),
        )

    def route(self, features: SSDFeatures, geometry: Geometry, knobs: Knobs) -> Routing:
        """Row-normalised magnitudes and cancellation of each head's matrix."""
        matrix = self._matrix(features, geometry, knobs)
        batch, _, _, length, _ = matrix.shape
        by_head = matrix.reshape(batch, self.config.heads, length, length)
        weights, cancellation = signed_shares(by_head)
        value = features.value.reshape(batch, length, self.config.heads, -1)
        return Routing(
            weights=weights,
            cancellation=cancellation,
            value_norms=head_norms(value),
        )

    def lookback(self) -> int:
        """The window of the convolution without the present position."""
        return self.config.conv - 1

    def values(self, features: SSDFeatures) -> Array:
        """The input after the convolution, by head: ``[B, S, H, P]``."""
        value = features.value
        return value.reshape(*value.shape[:2], self.config.heads, -1)

    def combine(
        self, features: SSDFeatures, values: Array, geometry: Geometry, knobs: Knobs
    ) -> Array:
        """``A x`` chunk by chunk, float32, with memory linear in T."""
        require_whole_sequences(geometry)
        grouped = values.reshape(features.value.shape)
        mixed = ssd_scan(self.factors(features, knobs), grouped)
        return mixed.reshape(values.shape)

    def explicit(
        self, features: SSDFeatures, geometry: Geometry, knobs: Knobs
    ) -> Array:
        """``y [B, T, D]`` through the signed matrix of every head."""
        matrix = self._matrix(features, geometry, knobs)
        value = features.value.astype(jnp.float32)
        mixed = jnp.einsum("bgrts,bsgrp->btgrp", matrix, value)
        return self.finish(features, mixed.reshape(self.values(features).shape))

    def _matrix(self, features: SSDFeatures, geometry: Geometry, knobs: Knobs) -> Array:
        require_whole_sequences(geometry)
        factors = self.factors(features, knobs)
        written = jnp.moveaxis(factors.written, 1, -1)[..., None, :]
        return ssd_matrix(factors) * written

    def factors(self, features: SSDFeatures, knobs: Knobs) -> SSDFactors:
        """Log-decay, written Delta, B and C with the knobs applied."""
        config = self.config
        by_head = features.step.shape[2:]  # (G, R)

        def shaped(knob: Array) -> Array:
            return jnp.reshape(knob, by_head if knob.size == config.heads else (1, 1))

        of_step, of_write, of_read = map(shaped, state_space.selectivities(knobs))
        content, brake = shaped(knobs["content"]), shaped(knobs["brake"])
        frozen_step = jnp.clip(jax.nn.softplus(self.frozen_step), *config.step_limit)
        step = blend(of_step, features.step, frozen_step.reshape(by_head))

        def factor(s: Array, found: Array, frozen: Array, constant: float) -> Array:
            found = blend(s[..., None], found[:, :, :, None], frozen[:, None])
            return blend(content[..., None], found, constant)

        rate = -jnp.exp(self.log_rate).reshape(by_head)
        return SSDFactors(
            log_decay=brake * rate * step,
            written=blend(content, step, 1.0),
            write=factor(
                of_write, features.write, self.frozen_write, 1.0 / config.state
            ),
            read=factor(of_read, features.read, self.frozen_read, 1.0),
        )

    def finish(self, features: SSDFeatures, mixed: Array) -> Array:
        """``y [B, T, D]``: skip, gate, norm of each group, output matrix."""
        mixed = mixed.reshape(features.value.shape)
        batch, length, groups, heads, _ = mixed.shape
        skip = self.skip.reshape(groups, heads, 1)
        y = mixed + skip * features.value.astype(jnp.float32)
        gate = jax.nn.silu(features.gate.astype(jnp.float32))
        y = (y.reshape(gate.shape) * gate).reshape(batch, length, groups, -1)
        mean_square = jnp.mean(jnp.square(y), axis=-1, keepdims=True)
        y = (y * jax.lax.rsqrt(mean_square + EPSILON)).reshape(batch * length, -1)
        dtype = self.config.dtype
        flat = (self.scale * y).astype(dtype) @ self.out.astype(dtype)
        return flat.reshape(batch, length, self.width)


def _rates_by_head(key: Array, shape: tuple[int]) -> Array:
    """``log(1 .. H)``: a different time scale per head, as in the reference code."""
    del key  # the same for every seed
    return jnp.log(jnp.arange(1.0, shape[0] + 1.0))
