"""Softmax attention over tokens, with an additive distance brake.

    A_ij = softmax_j( c (q_i . k_j / sqrt(K) - lambda |k_j|^2 / 2 sqrt(K))
                      - beta m_h b_ij )

The brake ``beta`` multiplies the distance ``b_ij`` (elapsed steps), which is not scaled
by ``1/sqrt(K)``, with a slope ``m_h`` per head. Limits: at 0 the routing is pure
content under the mask; as the brake grows the matrix tends to the identity. Neutral:
with ALiBi slopes, 1 is the published ALiBi. Here the neutral value is 0, attention
without a distance term, because sweeps use uniform slopes, for which the brake is our
addition.

Positions may also be *encoded* by rotating queries and keys (``rotary``). That is not a
brake, since the score is not monotone in the angle.

The knob ``norm_awareness`` (``lambda``) is explained in `routers.reframing`.

References: Vaswani et al. 2017 (arXiv 1706.03762); Press et al. 2022, ALiBi
(arXiv 2108.12409), slopes as in its code; Su et al. 2021, RoPE (arXiv 2104.09864),
half-split pairing as in GPT-NeoX. Softmax with a null source: Miller 2023, "softmax
off by one".
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

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
    split_heads,
)
from routers.reframing import norm_aware
from routers.rotary import rotate
from routers.softmax import masked_softmax
from routers.validation import head_width, require_at_least, require_choice

SLOPES = ("uniform", "alibi")


@dataclasses.dataclass(frozen=True)
class AttentionConfig:
    """Static settings of `Attention`.

    Attributes:
      heads: Number of heads H; must divide the model width.
      slopes: ``"uniform"`` (every slope 1) or ``"alibi"`` (``2^(-8h/H)``).
      rotary: Whether queries and keys are rotated by position (RoPE), which needs an
        even head width.
      init_scale: Standard deviation of every initial weight matrix.
      dtype: Type of the matrix products; logits and softmax are always float32.
    """

    heads: int = 1
    slopes: str = "uniform"
    rotary: bool = False
    init_scale: float = 0.02
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        require_at_least(1, heads=self.heads)
        require_choice(SLOPES, slopes=self.slopes)


class AttentionFeatures(struct.PyTreeNode):
    """Projected input: query, key and value, each ``[B, S, H, K]``."""

    query: Array
    key: Array
    value: Array


def distance_slopes(kind: str, heads: int) -> np.ndarray:
    """Slopes ``m_h [H]`` of the distance term, as ALiBi's code interpolates them."""
    if kind == "uniform":
        return np.ones(heads, np.float32)
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * h / power) for h in range(1, power + 1)]
    slopes += [2 ** (-4 * h / power) for h in range(1, 2 * (heads - power), 2)]
    return np.asarray(slopes, np.float32)


def normalize_keys(key: Array, strength: Array) -> Array:
    """``k -> k rms(k)^-strength`` over the last axis of ``[..., H, K]``, in float32.

    Args:
      key: Keys ``[..., H, K]``.
      strength: Scalar or ``[H]``; 0 leaves keys unchanged, 1 makes them RMS-normed.
    """
    key = key.astype(jnp.float32)
    mean_square = jnp.mean(key**2, axis=-1, keepdims=True) + 1e-12
    heads = (1,) * (key.ndim - 2) + (-1, 1)
    exponent = -0.5 * jnp.reshape(strength, heads)
    return key * jnp.exp(exponent * jnp.log(mean_square))


def where_used(
    knob: Array, change: Callable[..., Array], value: Array, *more: Array
) -> Array:
    """``change(value, knob, *more)``, skipped where the knob is 0.

    Skipping saves a twelfth of a step of attention when members run one at a time;
    under a `vmap` over the knob both branches are computed. The derivative with respect
    to the knob is 0 at 0. ``change`` should be a function of a module, not a closure:
    outside of jit it is then compiled only once.
    """
    return jax.lax.cond(jnp.any(knob != 0), change, _unchanged, value, knob, *more)


def _unchanged(value: Array, *_: Array) -> Array:
    return value


def attention_logits(
    features: AttentionFeatures, geometry: Geometry, slopes: Array, knobs: Knobs
) -> Array:
    """Log-weights before normalisation ``[B, H, T, S]``, float32, unmasked."""
    key = where_used(
        knobs["key_normalization"], normalize_keys, features.key.astype(jnp.float32)
    )
    query = features.query
    score = jnp.einsum("bthk,bshk->bhts", query, key.astype(query.dtype))
    score = where_used(
        knobs["norm_awareness"], norm_aware, score.astype(jnp.float32), key
    )
    score = score / math.sqrt(key.shape[-1])
    slope = per_head(knobs["brake"]) * per_head(slopes)
    penalty = slope * per_batch(geometry.distance)
    return per_head(knobs["content"]) * score - penalty


def output_value_product(value: Array, out: Array, heads: int) -> Array:
    """``W_O W_V`` of every head, ``[H, D, D]``, acting on column vectors.

    Args:
      value: Value matrix ``[D, H K]``; rows of x times it are the values, heads side by
        side.
      out: Output matrix ``[H K, D]``; the mixed heads times it are the output.
      heads: Number of heads H.
    """
    width = value.shape[0]
    value = value.reshape(width, heads, -1)
    out = out.reshape(heads, -1, width)
    return jnp.einsum("dhk,hke->hed", value, out)


def by_output_matrix(mixed: Array, out: Array) -> Array:
    """Heads ``[B, T, H, K]`` side by side, times ``out [H K, D]``: ``y [B, T, D]``."""
    batch, queries = mixed.shape[:2]
    flat = mixed.reshape(-1, out.shape[0])
    return (flat @ out.astype(flat.dtype)).reshape(batch, queries, -1)


def norms_written(value: Array, out: Array) -> Array:
    """``|W_O v|`` of the values ``[B, S, H, K]``, float32 ``[B, H, S]``.

    Args:
      value: Values of every head.
      out: Output matrix ``[D, D]``, as in `by_output_matrix`.
    """
    of_head = out.reshape(value.shape[2], -1, out.shape[-1])
    return head_norms(jnp.einsum("bshk,hkd->bshd", value.astype(out.dtype), of_head))


class Attention(Router):
    """Multi-head softmax attention; see the module docstring for the equation."""

    config: AttentionConfig = AttentionConfig()

    kinds: ClassVar[frozenset[str]] = frozenset({"causal"})
    roles: ClassVar[Mapping[str, str]] = {
        "query": "query",
        "key": "key",
        "value": "value",
    }
    knobs: ClassVar[Mapping[str, Knob]] = {
        "brake": Knob(
            0.0,
            0.0,
            math.inf,
            "distance penalty; at 0 pure content, towards inf the identity",
        ),
        "content": Knob(
            1.0, 0.0, math.inf, "scale of the score; at 0 only the brake is left"
        ),
        "norm_awareness": Knob(
            0.0, 0.0, 1.0, "weight of the missing -|k|^2/2; at 1 the Boltzmann distance"
        ),
        "key_normalization": Knob(
            0.0, 0.0, 1.0, "log-interpolates from raw keys at 0 to RMS-normed at 1"
        ),
        "null_sink": Knob(
            0.0, 0.0, math.inf, "weight of a null source; at 1 softmax-off-by-one"
        ),
    }

    def setup(self) -> None:
        """Declares the two matrices; queries, keys and values are fused into one."""
        width, heads = self.width, self.config.heads
        channels = head_width(width, heads)
        if self.config.rotary and channels % 2:
            raise ValueError(f"rotary=True: needs an even head width, not {channels}")
        normal = nn.initializers.normal(self.config.init_scale)
        self.qkv = self.param("qkv", normal, (width, 3 * width))
        self.out = self.param("out", normal, (width, width))

    def project(self, x: Array) -> AttentionFeatures:
        """Queries, keys and values of ``x [B, S, D]``, each ``[B, S, H, K]``."""
        batch, length, width = x.shape
        dtype = self.config.dtype
        # One product on flattened positions is faster than three on [B, S, D].
        flat = x.reshape(-1, width).astype(dtype) @ self.qkv.astype(dtype)
        query, key, value = (
            split_heads(part, batch, self.config.heads)
            for part in jnp.split(flat, 3, axis=-1)
        )
        if self.config.rotary:
            position = jnp.arange(length, dtype=jnp.float32)
            query = rotate(query, position).astype(dtype)
            key = rotate(key, position).astype(dtype)
        return AttentionFeatures(query, key, value)

    def circuits(self) -> Array:
        """``W_O W_V`` of every head, ``[H, D, D]``."""
        return output_value_product(
            self.qkv[:, 2 * self.width : 3 * self.width], self.out, self.config.heads
        )

    def route(
        self, features: AttentionFeatures, geometry: Geometry, knobs: Knobs
    ) -> Routing:
        """The routing matrix, its null mass, and the norms of keys and values."""
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
        """Mixed values; the fast path of attention is the matrix itself."""
        weights = self._weights(features, geometry, knobs)
        return jnp.einsum("bhts,bshk->bthk", weights.astype(values.dtype), values)

    def finish(self, features: AttentionFeatures, mixed: Array) -> Array:
        """``y [B, T, D]`` by the output matrix."""
        return by_output_matrix(mixed, self.out)

    def _weights(
        self, features: AttentionFeatures, geometry: Geometry, knobs: Knobs
    ) -> Array:
        slopes = jnp.asarray(distance_slopes(self.config.slopes, self.config.heads))
        logits = attention_logits(features, geometry, slopes, knobs)
        mask = per_batch(geometry.mask)
        return masked_softmax(logits, mask, per_head(knobs["null_sink"]))
