"""Retention: dot products with a fixed exponential decay per head.

    A_ij = (q_i . k_j / sqrt(K)) gamma_h^(beta (i - j)),    gamma_h = 1 - 2^(-5 - h)
    y_i  = (norm_h(sum_j A_ij v_j) * swish(x_i W_g)) W_out

The brake ``beta`` multiplies the log-decay ``log gamma_h`` per elapsed step. Limits: at
0 the router is undamped linear attention, which is free of position only without
``rotary``; as the brake grows only the diagonal ``q_i . k_i`` is left, which may have
either sign. Neutral: 1, the published decay.

``content`` interpolates both factors, after rotation, ``q -> c q + (1 - c) K^(-1/4)``
and likewise k, so that at 0 the score is 1 for every pair and only the decay is left.

The routing is signed; `routers.recurrence` explains what is reported.

Reference: Sun et al. 2023 (arXiv 2307.08621), recurrent form. It differs from the paper
in four ways: values are as wide as keys, the norm has no learned scale, the row
normalisation of the parallel form is omitted (the norm of each head absorbs it up to
epsilon), and ``rotary``, off by default, rotates as RoPE does, half-split.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from routers.base import Array, Geometry, Knob, Knobs, Router, Routing, split_heads
from routers.decay import require_whole_sequences
from routers.recurrence import (
    SCALAR_CHUNK,
    content_factor,
    normalize_heads,
    over_heads,
    read_state,
    signed_routing,
)
from routers.rotary import rotate
from routers.validation import head_width, require_at_least, require_positive

EPSILON = 1e-5


@dataclasses.dataclass(frozen=True)
class RetentionConfig:
    """Static settings of `Retention`.

    Attributes:
      heads: Number of heads H; must divide the model width.
      rotary: Whether queries and keys are rotated by position, which needs an even
        head width.
      gated: Whether the normalised read-out is multiplied by a swish gate of the
        input.
      init_scale: Standard deviation of every initial weight matrix.
      dtype: Type of the matrix products; the state is always float32.
    """

    heads: int = 1
    rotary: bool = False
    gated: bool = True
    init_scale: float = 0.02
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        require_at_least(1, heads=self.heads)
        require_positive(init_scale=self.init_scale)


class RetentionFeatures(struct.PyTreeNode):
    """Query, key, value ``[B, S, H, K]``; gate ``[B, S, D]``, None if not gated."""

    query: Array
    key: Array
    value: Array
    gate: Array | None


def log_gammas(heads: int) -> Array:
    """``log gamma_h [H]``, rounded once."""
    return jnp.asarray(np.log1p(-(2.0 ** (-5.0 - np.arange(heads)))), jnp.float32)


class Retention(Router):
    """Multi-scale retention; see the module docstring for the equation."""

    config: RetentionConfig = RetentionConfig()

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
    }

    def setup(self) -> None:
        """Declares the two matrices; query, key, value and gate are fused into one."""
        width, heads = self.width, self.config.heads
        channels = head_width(width, heads)
        if self.config.rotary and channels % 2:
            raise ValueError(f"rotary=True: needs an even head width, not {channels}")
        normal = nn.initializers.normal(self.config.init_scale)
        parts = 4 if self.config.gated else 3
        self.fused = self.param("fused", normal, (width, parts * width))
        self.out = self.param("out", normal, (width, width))

    def project(self, x: Array) -> RetentionFeatures:
        """Queries, keys, values and gate of ``x [B, S, D]``."""
        batch, length, width = x.shape
        dtype = self.config.dtype
        flat = x.reshape(-1, width).astype(dtype) @ self.fused.astype(dtype)
        query, key, value = (
            split_heads(part, batch, self.config.heads)
            for part in jnp.split(flat[:, : 3 * width], 3, axis=-1)
        )
        if self.config.rotary:
            position = jnp.arange(length, dtype=jnp.float32)
            query = rotate(query, position).astype(dtype)
            key = rotate(key, position).astype(dtype)
        gate = None
        if self.config.gated:
            gate = flat[:, 3 * width :].reshape(batch, length, width)
        return RetentionFeatures(query, key, value, gate)

    def route(
        self, features: RetentionFeatures, geometry: Geometry, knobs: Knobs
    ) -> Routing:
        """Shares of magnitude, cancellation, and the norms of keys and values."""
        _, key = self._factors(features, knobs)
        return signed_routing(
            self._matrix(features, geometry, knobs), key, features.value
        )

    def values(self, features: RetentionFeatures) -> Array:
        """The values ``[B, S, H, K]``."""
        return features.value

    def combine(
        self,
        features: RetentionFeatures,
        values: Array,
        geometry: Geometry,
        knobs: Knobs,
    ) -> Array:
        """Mixed values by the recurrence, float32."""
        require_whole_sequences(geometry)
        query, key = self._factors(features, knobs)
        step = over_heads(knobs["brake"]) * over_heads(log_gammas(self.config.heads))
        log_decay = jnp.broadcast_to(step, (*key.shape[:3], 1))
        return read_state(query, key, values, log_decay, chunk=SCALAR_CHUNK)

    def explicit(
        self, features: RetentionFeatures, geometry: Geometry, knobs: Knobs
    ) -> Array:
        """``y [B, T, D]`` through the signed matrix."""
        matrix = self._matrix(features, geometry, knobs)
        value = features.value.astype(jnp.float32)
        return self.finish(features, jnp.einsum("bhts,bshk->bthk", matrix, value))

    def _factors(
        self, features: RetentionFeatures, knobs: Knobs
    ) -> tuple[Array, Array]:
        """Query with the score's scale, and key."""
        width = features.key.shape[-1]
        query, key = (
            content_factor(x, knobs["content"], width**-0.25)
            for x in (features.query, features.key)
        )
        return query / math.sqrt(width), key

    def _matrix(
        self, features: RetentionFeatures, geometry: Geometry, knobs: Knobs
    ) -> Array:
        require_whole_sequences(geometry)
        query, key = self._factors(features, knobs)
        position = jnp.arange(key.shape[1])
        steps = jnp.maximum(position[:, None] - position[None, :], 0)
        rate = jnp.reshape(
            knobs["brake"] * log_gammas(self.config.heads), (1, -1, 1, 1)
        )
        score = jnp.einsum("bthk,bshk->bhts", query, key)
        return jnp.tril(score * jnp.exp(rate * steps[None, None]))

    def finish(self, features: RetentionFeatures, mixed: Array) -> Array:
        """``y [B, T, D]``: norm of each head, gate, output matrix."""
        batch, queries = mixed.shape[:2]
        y = normalize_heads(mixed, EPSILON, centered=True)
        y = y.reshape(batch, queries, self.width)
        if features.gate is not None:
            y = y * jax.nn.silu(features.gate.astype(jnp.float32))
        flat = y.reshape(-1, self.width).astype(self.config.dtype)
        return (flat @ self.out.astype(flat.dtype)).reshape(y.shape)
