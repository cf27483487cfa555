"""RWKV-6: a matrix state with input-dependent decays and a bonus for the present.

    A_ij = sum_c r_ic (prod_{m=j+1..i-1} w_mc^beta) k_jc   for j < i,
           r_i . (u * k_i)                                 for j = i
    w_m  = exp(-exp(w_0 + tanh(x_m W_1) W_2))              (per channel)
    y_i  = (norm_h(sum_j A_ij v_j) * swish(x_i W_g)) W_out

The brake ``beta`` multiplies the log-decay. Limits: at 0 the router is undamped linear
attention with a bonus. Since the product ends one step before the query, ``{i, i - 1}``
are left as the brake grows (``reach`` 1), with either sign. Neutral: 1, the published
router.

``content`` interpolates both factors, ``r -> c r + (1 - c) K^(-1/2)`` and likewise k,
and the bonus ``u -> c u + (1 - c)``, so that at 0 the product is 1 for every pair and
only the decay is left. The product is not scaled by ``1 / sqrt(K)``.

``selectivity`` interpolates only the log-decay, to a learned constant per channel.
Receptance and keys stay functions of the input.

The routing is signed; `routers.recurrence` explains what is reported.

Reference: Peng et al. 2024 (arXiv 2404.05892). It differs from the paper in two ways.
The token shift consists of learned constants, one set for all projections, as in RWKV-5
(in the paper it also depends on the input), and all matrices are initialised from one
normal distribution.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from routers.base import Array, Geometry, Knob, Knobs, Router, Routing, split_heads
from routers.decay import require_whole_sequences
from routers.recurrence import (
    content_factor,
    decay_ramp,
    normalize_heads,
    over_heads,
    pair_weights,
    read_state,
    shift_tokens,
    signed_routing,
)
from routers.validation import head_width, require_at_least, require_positive

EPSILON = 64e-5  # as in the published norm: the state is larger than a score's scale


@dataclasses.dataclass(frozen=True)
class RWKV6Config:
    """Static settings of `RWKV6`.

    Attributes:
      heads: Number of heads H; must divide the model width.
      rank: Rank of the projection to the decay.
      token_shift: Whether each position is mixed with the one before it, ahead of the
        projections.
      init_scale: Standard deviation of every initial weight matrix.
      dtype: Type of the matrix products; log-decays and state are always float32.
    """

    heads: int = 1
    rank: int = 16
    token_shift: bool = True
    init_scale: float = 0.02
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        require_at_least(1, heads=self.heads, rank=self.rank)
        require_positive(init_scale=self.init_scale)


class RWKV6Features(struct.PyTreeNode):
    """Receptance, key, value, log-decay ``[B, S, H, K]``; gate ``[B, S, D]``."""

    receptance: Array
    key: Array
    value: Array
    log_decay: Array
    gate: Array


class RWKV6(Router):
    """RWKV-6 time mixing; see the module docstring for the equation."""

    config: RWKV6Config = RWKV6Config()

    kinds: ClassVar[frozenset[str]] = frozenset({"causal"})
    reach: ClassVar[float] = 1.0
    roles: ClassVar[Mapping[str, str]] = {
        "query": "receptance",
        "key": "key",
    }
    knobs: ClassVar[Mapping[str, Knob]] = {
        "brake": Knob(
            1.0,
            0.0,
            math.inf,
            "scale of the log-decay; at 0 undamped, towards inf only {i, i - 1}",
        ),
        "content": Knob(
            1.0,
            0.0,
            1.0,
            "weight of the input in factors and bonus; at 0 only the decay is left",
        ),
        "selectivity": Knob(
            1.0, 0.0, 1.0, "weight of the input in the decay; at 0 a learned constant"
        ),
    }

    def setup(self) -> None:
        """Declares the matrices; all that read the input are fused into one."""
        width, heads, rank = self.width, self.config.heads, self.config.rank
        normal = nn.initializers.normal(self.config.init_scale)
        constant, ramp = nn.initializers.constant, decay_ramp(-6.0, -1.0)
        shape = (heads, head_width(width, heads))
        self.fused = self.param("fused", normal, (width, 4 * width + rank))
        self.decay = self.param("decay", normal, (rank, width))
        self.decay_bias = self.param("decay_bias", ramp, (1, width))
        self.frozen_decay = self.param("frozen_decay", ramp, shape)
        self.time_first = self.param("time_first", constant(0.5), shape)
        self.norm_gain = self.param("norm_gain", constant(1.0), shape)
        self.norm_bias = self.param("norm_bias", constant(0.0), shape)
        self.out = self.param("out", normal, (width, width))
        if self.config.token_shift:
            self.time_mix = self.param("time_mix", constant(0.5), (1, 1, width))

    def project(self, x: Array) -> RWKV6Features:
        """Receptance, key, value, log-decay and gate of ``x [B, S, D]``."""
        batch, length, width = x.shape
        heads, rank, dtype = self.config.heads, self.config.rank, self.config.dtype
        x = x.astype(dtype)
        if self.config.token_shift:
            before = shift_tokens(x)
            x = before + (x - before) * self.time_mix.astype(dtype)
        flat = x.reshape(-1, width) @ self.fused.astype(dtype)
        low, parts = jnp.tanh(flat[:, :rank]), flat[:, rank:]
        rates = (low @ self.decay.astype(dtype)).astype(jnp.float32) + self.decay_bias
        receptance, key, value, gate = jnp.split(parts, 4, axis=-1)
        receptance, key, value, log_decay = (
            split_heads(part, batch, heads)
            for part in (receptance, key, value, -jnp.exp(rates))
        )
        gate = gate.reshape(batch, length, width)
        return RWKV6Features(receptance, key, value, log_decay, gate)

    def route(
        self, features: RWKV6Features, geometry: Geometry, knobs: Knobs
    ) -> Routing:
        """Shares of magnitude, cancellation, and the norms of keys and values."""
        receptance, key, *rest = self._factors(features, geometry, knobs)
        matrix = pair_weights(receptance, key, *rest)
        return signed_routing(matrix, key, features.value)

    def lookback(self) -> int:
        """One position, for the token shift."""
        return int(self.config.token_shift)

    def values(self, features: RWKV6Features) -> Array:
        """The values ``[B, S, H, K]``."""
        return features.value

    def combine(
        self, features: RWKV6Features, values: Array, geometry: Geometry, knobs: Knobs
    ) -> Array:
        """Mixed values by the recurrence, float32."""
        receptance, key, *rest = self._factors(features, geometry, knobs)
        return read_state(receptance, key, values, *rest)

    def explicit(
        self, features: RWKV6Features, geometry: Geometry, knobs: Knobs
    ) -> Array:
        """``y [B, T, D]`` through the signed matrix."""
        matrix = pair_weights(*self._factors(features, geometry, knobs))
        value = features.value.astype(jnp.float32)
        return self.finish(features, jnp.einsum("bhts,bshk->bthk", matrix, value))

    def _factors(
        self, features: RWKV6Features, geometry: Geometry, knobs: Knobs
    ) -> tuple[Array, Array, Array, Array]:
        """Receptance, key, log-decay with the brake ``[B, S, H, K]``; bonus [1,H,K]."""
        require_whole_sequences(geometry)
        width, content = features.key.shape[-1], knobs["content"]
        receptance, key = (
            content_factor(x, content, width**-0.5)
            for x in (features.receptance, features.key)
        )
        bonus = content_factor(self.time_first[None, None], content, 1.0)[0]
        selectivity = over_heads(knobs["selectivity"])
        frozen = -jnp.exp(self.frozen_decay)[None, None]
        log_decay = selectivity * features.log_decay + (1.0 - selectivity) * frozen
        return receptance, key, over_heads(knobs["brake"]) * log_decay, bonus

    def finish(self, features: RWKV6Features, mixed: Array) -> Array:
        """``y [B, T, D]``: norm of each head, gate, output matrix."""
        batch, queries = mixed.shape[:2]
        y = normalize_heads(mixed, EPSILON, centered=True)
        y = y * self.norm_gain[None, None] + self.norm_bias[None, None]
        y = y.reshape(batch, queries, self.width)
        y = y * jax.nn.silu(features.gate.astype(jnp.float32))
        flat = y.reshape(-1, self.width).astype(self.config.dtype)
        return (flat @ self.out.astype(flat.dtype)).reshape(y.shape)
