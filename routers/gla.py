"""Gated linear attention: dot products with a learned, input-dependent decay.

    A_ij = sum_c q_ic k_jc exp(beta sum_{m=j+1..i} g_mc) / sqrt(K)
    g_m  = log sigmoid(x_m W_1 W_2 + b) / 16                       (per channel)
    y_i  = (norm_h(sum_j A_ij v_j) * swish(x_i W_g)) W_out

The brake ``beta`` multiplies the log-decay ``g``. Limits: at 0 the router is undamped
linear attention; as the brake grows only the diagonal ``q_i . k_i`` is left, which may
have either sign. Neutral: 1, the published router.

``content`` interpolates both factors, ``q -> c q + (1 - c) K^(-1/4)`` and likewise k,
so that at 0 the score is 1 for every pair and only the decay is left.

``selectivity`` interpolates only the log-decay, after the log-sigmoid, to a learned
constant per channel. Queries and keys stay functions of the input, as in attention. If
both ``selectivity`` and ``content`` are 0, A depends on i - j only.

The routing is signed; `routers.recurrence` explains what is reported.

Reference: Yang et al. 2023 (arXiv 2312.06635). It differs from the paper in that keys
are as wide as values (there they are half as wide).
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
    normalize_heads,
    over_heads,
    pair_weights,
    read_state,
    signed_routing,
)
from routers.validation import head_width, require_at_least, require_positive

EPSILON = 1e-5
TEMPERATURE = 16.0
"""Divisor of the log-sigmoid, so that decays start close to 1."""


@dataclasses.dataclass(frozen=True)
class GatedLinearAttentionConfig:
    """Static settings of `GatedLinearAttention`.

    Attributes:
      heads: Number of heads H; must divide the model width.
      rank: Rank of the projection to the decay.
      gated: Whether the normalised read-out is multiplied by a swish gate of the
        input.
      init_scale: Standard deviation of every initial weight matrix.
      dtype: Type of the matrix products; log-decays and state are always float32.
    """

    heads: int = 1
    rank: int = 16
    gated: bool = True
    init_scale: float = 0.02
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        require_at_least(1, heads=self.heads, rank=self.rank)
        require_positive(init_scale=self.init_scale)


class GatedLinearAttentionFeatures(struct.PyTreeNode):
    """Query, key, value, log-decay ``[B, S, H, K]``; gate ``[B, S, D]`` or None."""

    query: Array
    key: Array
    value: Array
    log_decay: Array
    gate: Array | None


def log_decays(logits: Array) -> Array:
    """``log sigmoid(logits) / 16``, float32, never positive."""
    return jax.nn.log_sigmoid(logits.astype(jnp.float32)) / TEMPERATURE


class GatedLinearAttention(Router):
    """Gated linear attention; see the module docstring for the equation."""

    config: GatedLinearAttentionConfig = GatedLinearAttentionConfig()

    kinds: ClassVar[frozenset[str]] = frozenset({"causal"})
    roles: ClassVar[Mapping[str, str]] = {
        "query": "query",
        "key": "key",
    }
    knobs: ClassVar[Mapping[str, Knob]] = {
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
            "weight of the input in the score; at 0 only the decay is left",
        ),
        "selectivity": Knob(
            1.0, 0.0, 1.0, "weight of the input in the decay; at 0 a learned constant"
        ),
    }

    def setup(self) -> None:
        """Declares the matrices; all that read the input are fused into one."""
        width, heads, rank = self.width, self.config.heads, self.config.rank
        channels = head_width(width, heads)
        normal = nn.initializers.normal(self.config.init_scale)
        zeros = nn.initializers.zeros
        parts = 4 if self.config.gated else 3
        self.fused = self.param("fused", normal, (width, parts * width + rank))
        self.decay = self.param("decay", normal, (rank, width))
        self.decay_bias = self.param("decay_bias", zeros, (1, width))
        self.frozen_decay = self.param("frozen_decay", zeros, (heads, channels))
        self.norm_gain = self.param("norm_gain", nn.initializers.ones, (channels,))
        self.out = self.param("out", normal, (width, width))

    def project(self, x: Array) -> GatedLinearAttentionFeatures:
        """Queries, keys, values, log-decays and gate of ``x [B, S, D]``."""
        batch, length, width = x.shape
        dtype, rank = self.config.dtype, self.config.rank
        flat = x.reshape(-1, width).astype(dtype) @ self.fused.astype(dtype)
        low, parts = flat[:, :rank], flat[:, rank:]
        logits = low @ self.decay.astype(dtype) + self.decay_bias.astype(dtype)
        query, key, value, log_decay = (
            split_heads(part, batch, self.config.heads)
            for part in (
                *jnp.split(parts[:, : 3 * width], 3, axis=-1),
                log_decays(logits),
            )
        )
        gate = None
        if self.config.gated:
            gate = parts[:, 3 * width :].reshape(batch, length, width)
        return GatedLinearAttentionFeatures(query, key, value, log_decay, gate)

    def route(
        self, features: GatedLinearAttentionFeatures, geometry: Geometry, knobs: Knobs
    ) -> Routing:
        """Shares of magnitude, cancellation, and the norms of keys and values."""
        query, key, log_decay = self._factors(features, geometry, knobs)
        matrix = pair_weights(query, key, log_decay)
        return signed_routing(matrix, key, features.value)

    def values(self, features: GatedLinearAttentionFeatures) -> Array:
        """The values ``[B, S, H, K]``."""
        return features.value

    def combine(
        self,
        features: GatedLinearAttentionFeatures,
        values: Array,
        geometry: Geometry,
        knobs: Knobs,
    ) -> Array:
        """Mixed values by the recurrence, float32."""
        query, key, log_decay = self._factors(features, geometry, knobs)
        return read_state(query, key, values, log_decay)

    def explicit(
        self, features: GatedLinearAttentionFeatures, geometry: Geometry, knobs: Knobs
    ) -> Array:
        """``y [B, T, D]`` through the signed matrix."""
        matrix = pair_weights(*self._factors(features, geometry, knobs))
        value = features.value.astype(jnp.float32)
        return self.finish(features, jnp.einsum("bhts,bshk->bthk", matrix, value))

    def _factors(
        self, features: GatedLinearAttentionFeatures, geometry: Geometry, knobs: Knobs
    ) -> tuple[Array, Array, Array]:
        """Query with the score's scale, key, and log-decay with the brake."""
        require_whole_sequences(geometry)
        width = features.key.shape[-1]
        query, key = (
            content_factor(x, knobs["content"], width**-0.25)
            for x in (features.query, features.key)
        )
        selectivity = over_heads(knobs["selectivity"])
        frozen = log_decays(self.frozen_decay)[None, None]
        log_decay = selectivity * features.log_decay + (1.0 - selectivity) * frozen
        return query / math.sqrt(width), key, over_heads(knobs["brake"]) * log_decay

    def finish(self, features: GatedLinearAttentionFeatures, mixed: Array) -> Array:
        """``y [B, T, D]``: norm of each head, gate, output matrix."""
        batch, queries = mixed.shape[:2]
        y = normalize_heads(mixed, EPSILON, centered=False)
        y = (y * self.norm_gain[None, None, None]).reshape(batch, queries, self.width)
        if features.gate is not None:
            y = y * jax.nn.silu(features.gate.astype(jnp.float32))
        flat = y.reshape(-1, self.width).astype(self.config.dtype)
        return (flat @ self.out.astype(flat.dtype)).reshape(y.shape)
