"""Forgetting attention (FoX): softmax attention with learned forget gates as distance.

    A_ij = softmax_j( c (q_i . k_j / sqrt(K) - lambda |k_j|^2 / 2 sqrt(K))
                      + beta sum_{m=j+1..i} log f_m ),     f_m = sigmoid(x_m w_h + b_h)

The brake ``beta`` multiplies the log of the forget gates, which is not scaled by
``1/sqrt(K)``. It is the additive brake of `routers.attention` with a distance that each
head computes from the input; the geometry's distance is not used. Limits: at 0 the
router is softmax attention without positions; as the brake grows the matrix tends to
the identity. Neutral: 1, the published router.

The other knobs are those of `routers.attention`. ``content`` scales the score only,
because the gates belong to the brake.

Reference: Lin et al. 2025, Forgetting Transformer (arXiv 2503.02130), the plain layer
without rotary positions. It differs from the paper's Pro block, which adds an output
gate, normalised queries and keys, and shifted keys and values. The published kernel
tiles the matrix; here, as in `routers.attention`, the fast path is the whole matrix.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from routers.attention import (
    Attention,
    AttentionFeatures,
    attention_logits,
    by_output_matrix,
    normalize_keys,
    norms_written,
    output_value_product,
)
from routers.base import (
    Array,
    Geometry,
    Knob,
    Knobs,
    Router,
    Routing,
    head_norms,
    per_head,
    split_heads,
)
from routers.decay import segment_sums
from routers.softmax import masked_softmax
from routers.validation import head_width, require_at_least, require_positive


@dataclasses.dataclass(frozen=True)
class ForgettingAttentionConfig:
    """Static settings of `ForgettingAttention`.

    Attributes:
      heads: Number of heads H; must divide the model width.
      init_scale: Standard deviation of every initial weight matrix.
      dtype: Type of the matrix products; gates, logits and softmax are always float32.
    """

    heads: int = 1
    init_scale: float = 0.02
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        require_at_least(1, heads=self.heads)
        require_positive(init_scale=self.init_scale)


class ForgettingFeatures(struct.PyTreeNode):
    """Projected input.

    Attributes:
      attention: Query, key and value, each ``[B, S, H, K]``.
      log_forget: Log of the forget gates, float32 ``[B, S, H]``, never positive.
    """

    attention: AttentionFeatures
    log_forget: Array


class ForgettingAttention(Router):
    """Softmax attention with forget gates; see the module docstring."""

    config: ForgettingAttentionConfig = ForgettingAttentionConfig()

    kinds: ClassVar[frozenset[str]] = frozenset({"causal"})
    roles: ClassVar[Mapping[str, str]] = {
        "query": "attention.query",
        "key": "attention.key",
        "value": "attention.value",
    }
    knobs: ClassVar[Mapping[str, Knob]] = {
        **Attention.knobs,
        "brake": Knob(
            1.0,
            0.0,
            math.inf,
            "scale of the log forget gates; at 0 pure content, towards inf identity",
        ),
    }

    def setup(self) -> None:
        """Declares the matrices; query, key, value and gates are fused into one."""
        width, heads = self.width, self.config.heads
        head_width(width, heads)
        normal = nn.initializers.normal(self.config.init_scale)
        self.fused = self.param("fused", normal, (width, 3 * width + heads))
        self.forget_bias = self.param("forget_bias", nn.initializers.zeros, (1, heads))
        self.out = self.param("out", normal, (width, width))

    def project(self, x: Array) -> ForgettingFeatures:
        """Queries, keys, values and log forget gates of ``x [B, S, D]``."""
        batch, length, width = x.shape
        heads, dtype = self.config.heads, self.config.dtype
        flat = x.reshape(-1, width).astype(dtype) @ self.fused.astype(dtype)
        query, key, value = (
            split_heads(part, batch, heads)
            for part in jnp.split(flat[:, : 3 * width], 3, axis=-1)
        )
        logits = flat[:, 3 * width :].astype(jnp.float32) + self.forget_bias
        log_forget = jax.nn.log_sigmoid(logits).reshape(batch, length, heads)
        return ForgettingFeatures(AttentionFeatures(query, key, value), log_forget)

    def circuits(self) -> Array:
        """``W_O W_V`` of every head, ``[H, D, D]``."""
        return output_value_product(
            self.fused[:, 2 * self.width : 3 * self.width], self.out, self.config.heads
        )

    def route(
        self, features: ForgettingFeatures, geometry: Geometry, knobs: Knobs
    ) -> Routing:
        """The routing matrix, its null mass, and the norms of keys and values."""
        weights = self._weights(features, geometry, knobs)
        key = normalize_keys(features.attention.key, knobs["key_normalization"])
        return Routing(
            weights=weights,
            null_mass=1.0 - jnp.sum(weights, axis=-1),
            key_norms=head_norms(key),
            value_norms=head_norms(features.attention.value),
            written_norms=norms_written(features.attention.value, self.out),
        )

    def combine(
        self,
        features: ForgettingFeatures,
        values: Array,
        geometry: Geometry,
        knobs: Knobs,
    ) -> Array:
        """Mixed values; the fast path is the matrix itself, as in attention."""
        weights = self._weights(features, geometry, knobs)
        return jnp.einsum("bhts,bshk->bthk", weights.astype(values.dtype), values)

    def finish(self, features: ForgettingFeatures, mixed: Array) -> Array:
        """``y [B, T, D]`` by the output matrix."""
        return by_output_matrix(mixed, self.out)

    def _weights(
        self, features: ForgettingFeatures, geometry: Geometry, knobs: Knobs
    ) -> Array:
        unbraked = geometry.replace(distance=jnp.zeros_like(geometry.distance))
        ones = jnp.ones(self.config.heads)
        score = attention_logits(features.attention, unbraked, ones, knobs)
        kept = segment_sums(features.log_forget.swapaxes(1, 2))  # [B, H, T, S]
        mask = geometry.mask.reshape(-1, 1, *geometry.mask.shape[-2:])
        logits = score + per_head(knobs["brake"]) * kept
        return masked_softmax(logits, mask, per_head(knobs["null_sink"]))
