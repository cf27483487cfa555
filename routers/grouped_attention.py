"""Softmax attention as published decoders and encoders have it: `Attention`, and more.

    A_ij = softmax_j( c (q_i . k_j / sqrt(K) - lambda |k_j|^2 / 2 sqrt(K)) - beta b_ij )

The equation, the knobs and their limits are those of `routers.attention` with uniform
slopes. Beyond it there are: fewer key and value heads than query heads, each read by a
group of neighbouring query heads; heads of any width; rotation of some channels at
given frequencies; an RMS norm of queries and keys before it; and biases. Neutral: brake
0, attention without a distance term.

Keys and values are reported once for every query head that reads them. On a graph there
is no order to rotate by. A sequence that is read in both directions is a complete graph
with the distances ``|i - j|`` (`sequence_geometry`).

References: Vaswani et al. 2017 (arXiv 1706.03762); Ainslie et al. 2023, grouped
queries (arXiv 2305.13245); Su et al. 2021, RoPE (arXiv 2104.09864); Henry et al. 2020,
normalised queries and keys (arXiv 2010.04245), with the RMS norm of Qwen3. It agrees
with the eager attention of the transformers library.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

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
    per_batch,
    per_head,
)
from routers.rotary import rotate
from routers.softmax import masked_softmax
from routers.validation import head_width, require_at_least


@dataclasses.dataclass(frozen=True)
class GroupedAttentionConfig:
    """Static settings of `GroupedAttention`.

    Attributes:
      heads: Number of query heads H.
      key_heads: Number of key and value heads G, which must divide H; 0 stands for H.
      head_width: Width K of one head; 0 stands for ``D / H``.
      frequencies: Angles per step of the rotated pairs of channels, see
        `routers.rotary.rotate`; empty for no rotation.
      norm_epsilon: Epsilon of the RMS norm of queries and keys; 0 stands for no norm.
      bias: Whether queries, keys, values and the output have a bias.
      init_scale: Standard deviation of every initial weight matrix.
      dtype: Type of the matrix products; logits and softmax are always float32.
    """

    heads: int = 1
    key_heads: int = 0
    head_width: int = 0
    frequencies: tuple[float, ...] = ()
    norm_epsilon: float = 0.0
    bias: bool = False
    init_scale: float = 0.02
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        require_at_least(1, heads=self.heads)
        require_at_least(0, key_heads=self.key_heads, head_width=self.head_width)
        head_width(self.heads, self.readers, "key_heads", "the number of heads")

    @property
    def readers(self) -> int:
        """G, the number of key and value heads."""
        return self.key_heads or self.heads


@functools.partial(jax.jit, static_argnums=0)
def sequence_geometry(length: int) -> Geometry:
    """Geometry of a sequence that is read in both directions, of kind ``"graph"``.

    Args:
      length: Number of positions, T = S.

    Returns:
      ``distance[i, j] = |i - j|`` and a mask that is true everywhere, ``[T, S]``.
    """
    position = jnp.arange(length, dtype=jnp.float32)
    apart = jnp.abs(position[:, None] - position[None, :])
    return Geometry(distance=apart, mask=apart >= 0, kind="graph")


def rms_norm(x: Array, gain: Array, epsilon: float) -> Array:
    """``x / rms(x)`` over the last axis times a gain, computed in float32."""
    x = x.astype(jnp.float32)
    mean_square = jnp.mean(x**2, axis=-1, keepdims=True)
    gain = gain.astype(jnp.float32).reshape((1,) * (x.ndim - 1) + (-1,))
    return x * jax.lax.rsqrt(mean_square + epsilon) * gain


class GroupedAttention(Router):
    """Multi-head softmax attention; see the module docstring for the equation."""

    config: GroupedAttentionConfig = GroupedAttentionConfig()

    kinds: ClassVar[frozenset[str]] = frozenset({"causal", "graph"})
    roles: ClassVar[Mapping[str, str]] = Attention.roles
    knobs: ClassVar[Mapping[str, Knob]] = Attention.knobs

    def setup(self) -> None:
        """Declares the weights; queries, keys and values are fused into one matrix."""
        config = self.config
        channels = config.head_width or head_width(self.width, config.heads)
        self.channels = channels
        if 2 * len(config.frequencies) > channels:
            raise ValueError(
                f"frequencies={len(config.frequencies)} of them: must be at most half "
                f"of the head width {channels}"
            )
        mixed = config.heads * channels
        fused = mixed + 2 * config.readers * channels
        normal = nn.initializers.normal(config.init_scale)
        zeros, ones = nn.initializers.zeros, nn.initializers.ones
        self.qkv = self.param("qkv", normal, (self.width, fused))
        self.out = self.param("out", normal, (mixed, self.width))
        if config.bias:
            self.qkv_bias = self.param("qkv_bias", zeros, (fused,))
            self.out_bias = self.param("out_bias", zeros, (self.width,))
        if config.norm_epsilon:
            self.query_gain = self.param("query_gain", ones, (channels,))
            self.key_gain = self.param("key_gain", ones, (channels,))

    def project(self, x: Array) -> AttentionFeatures:
        """Queries, keys and values of ``x [B, S, D]``, each ``[B, S, H, K]``."""
        config, dtype = self.config, self.config.dtype
        batch, length, width = x.shape
        flat = x.reshape(-1, width).astype(dtype) @ self.qkv.astype(dtype)
        if config.bias:
            flat = flat + self.qkv_bias.astype(dtype)[None]
        by_head = flat.reshape(batch, length, -1, self.channels)
        ends = [config.heads, config.heads + config.readers]
        query, key, value = jnp.split(by_head, ends, axis=2)
        if config.norm_epsilon:
            query = rms_norm(query, self.query_gain, config.norm_epsilon)
            key = rms_norm(key, self.key_gain, config.norm_epsilon)
        if config.frequencies:
            position = jnp.arange(length, dtype=jnp.float32)
            frequencies = np.asarray(config.frequencies, np.float32)
            query = rotate(query, position, frequencies)
            key = rotate(key, position, frequencies)
        each = config.heads // config.readers
        return AttentionFeatures(
            query=query.astype(dtype),
            key=jnp.repeat(key.astype(dtype), each, axis=2),
            value=jnp.repeat(value, each, axis=2),
        )

    def circuits(self) -> Array:
        """``W_O W_V`` of every head, ``[H, D, D]``; biases are no part of it."""
        config, channels = self.config, self.channels
        value = self.qkv[:, (config.heads + config.readers) * channels :]
        value = value.reshape(self.width, config.readers, channels)
        value = jnp.repeat(value, config.heads // config.readers, axis=1)
        flat = value.reshape(self.width, -1)
        return output_value_product(flat, self.out, config.heads)

    def route(
        self, features: AttentionFeatures, geometry: Geometry, knobs: Knobs
    ) -> Routing:
        """The routing matrix, its null mass, and norms of keys, values and writes."""
        weights = self._weights(features, geometry, knobs)
        key = normalize_keys(features.key, knobs["key_normalization"])
        return Routing(
            weights=weights,
            null_mass=1.0 - jnp.sum(weights, axis=-1),
            key_norms=head_norms(key),
            value_norms=head_norms(features.value),
            written_norms=norms_written(features.value, self.out),
        )

    def combine(
        self,
        features: AttentionFeatures,
        values: Array,
        geometry: Geometry,
        knobs: Knobs,
    ) -> Array:
        """Mixed values by the matrix itself."""
        weights = self._weights(features, geometry, knobs)
        return jnp.einsum("bhts,bshk->bthk", weights.astype(values.dtype), values)

    def finish(self, features: AttentionFeatures, mixed: Array) -> Array:
        """``y [B, T, D]`` by the output matrix and its bias."""
        y = by_output_matrix(mixed, self.out)
        return y + self.out_bias.astype(y.dtype)[None, None] if self.config.bias else y

    def _weights(
        self, features: AttentionFeatures, geometry: Geometry, knobs: Knobs
    ) -> Array:
        if self.config.frequencies and geometry.kind != "causal":
            raise ValueError(
                f"frequencies: must be empty on {geometry.kind!r} geometry, which has "
                "no order"
            )
        slopes = jnp.ones(self.config.heads)
        logits = attention_logits(features, geometry, slopes, knobs)
        mask = per_batch(geometry.mask)
        return masked_softmax(logits, mask, per_head(knobs["null_sink"]))
