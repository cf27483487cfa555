"""Attention with capped logits: A = softmax(cap tanh(s / cap) - beta (i - j))."""

import dataclasses
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from routers.base import Knob, Router, Routing


@dataclasses.dataclass(frozen=True)
class CappedConfig:
    """Settings: the cap and the standard deviation of the matrices."""

    cap: float = 5.0
    init_scale: float = 0.02


class CappedAttention(Router):
    """One head of softmax attention with capped logits."""

    config: CappedConfig = CappedConfig()

    kinds: ClassVar = frozenset({"causal"})
    knobs: ClassVar = {
        "brake": Knob(0.0, 0.0, float("inf"), "penalty per step; 0 is no penalty"),
        "content": Knob(1.0, 0.0, float("inf"), "scale of the score; 0 is the brake"),
    }

    def setup(self):
        """Declares the matrices; sizes come from the width, never from knobs."""
        normal = nn.initializers.normal(self.config.init_scale)
        self.qkv = self.param("qkv", normal, (3, self.width, self.width))

    def project(self, x):
        """Query, key and value, each [B, S, D]: position by position."""
        return jnp.einsum("bsd,pde->pbse", x, self.qkv.astype(x.dtype))

    def route(self, features, geometry, knobs):
        """The exact weights, with a head axis: [B, 1, T, S]."""
        query, key, _ = features.astype(jnp.float32)
        score = jnp.einsum("btd,bsd->bts", query, key) / self.width**0.5
        score = self.config.cap * jnp.tanh(score / self.config.cap)
        logits = knobs["content"] * score - knobs["brake"] * geometry.distance
        logits = jnp.where(geometry.mask, logits, -jnp.inf)
        return Routing(weights=jax.nn.softmax(logits, axis=-1)[:, None])

    def values(self, features):
        """What is mixed, with a head axis: [B, S, 1, D]."""
        return features[2][:, :, None]

    def combine(self, features, values, geometry, knobs):
        """The weights times the values, [B, T, 1, D]: here through the matrix."""
        weights = self.route(features, geometry, knobs).weights
        return jnp.einsum("bhts,bshd->bthd", weights.astype(values.dtype), values)
