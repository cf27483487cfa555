"""Linear attention with a decay: A_ij = f(q_i) . f(k_j) e^(-beta (i - j)) / sum_j."""

import dataclasses
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from routers.base import Knob, Router, Routing, head_norms, per_head, split_heads

CHUNK = 16


@dataclasses.dataclass(frozen=True)
class LinearConfig:
    """Settings: number of heads, and the standard deviation of the matrices."""

    heads: int = 1
    init_scale: float = 0.02


class LinearFeatures(struct.PyTreeNode):
    """Query, key and value, each [B, S, H, K]."""

    query: jax.Array
    key: jax.Array
    value: jax.Array


class LinearAttention(Router):
    """Normalised linear attention, computed chunk by chunk."""

    config: LinearConfig = LinearConfig()

    kinds: ClassVar = frozenset({"causal"})
    roles: ClassVar = {"query": "query", "key": "key", "value": "value"}
    knobs: ClassVar = {
        "brake": Knob(0.0, 0.0, float("inf"), "decay per step; 0 is none"),
        "content": Knob(1.0, 0.0, 1.0, "weight of the input; 0 is the decay alone"),
    }

    def setup(self):
        """Declares the matrices; queries, keys and values are fused into one."""
        normal = nn.initializers.normal(self.config.init_scale)
        self.qkv = self.param("qkv", normal, (self.width, 3 * self.width))
        self.out = self.param("out", normal, (self.width, self.width))

    def project(self, x):
        """Query, key and value of every position."""
        parts = jnp.split(x @ self.qkv.astype(x.dtype), 3, axis=-1)
        heads = self.config.heads
        return LinearFeatures(*(split_heads(part, len(x), heads) for part in parts))

    def factors(self, features, knobs):
        """f(q) and f(k), float32 and positive, with the content knob applied."""
        content = jnp.reshape(knobs["content"], (1, 1, -1, 1))
        return [
            content * jax.nn.softplus(x.astype(jnp.float32)) + (1 - content)
            for x in (features.query, features.key)
        ]

    def route(self, features, geometry, knobs):
        """The exact weights [B, H, T, S], through the matrix."""
        check_mask(geometry)
        query, key = self.factors(features, knobs)
        decay = jnp.exp(-per_head(knobs["brake"]) * geometry.distance)
        matrix = jnp.einsum("bthk,bshk->bhts", query, key) * decay
        matrix = jnp.where(geometry.mask, matrix, 0.0)
        return Routing(
            weights=matrix / matrix.sum(-1, keepdims=True),
            value_norms=head_norms(features.value),
        )

    def combine(self, features, values, geometry, knobs):
        """The fast path [B, T, H, K]: a matrix inside a chunk, a state between."""
        check_mask(geometry)
        batch, length, heads, _ = values.shape
        query, key = self.factors(features, knobs)
        # A channel of ones becomes the sum that the weights are divided by.
        ones = jnp.ones((batch, length, heads, 1))
        values_and_ones = jnp.concatenate([values.astype(jnp.float32), ones], -1)
        chunks = -(-length // CHUNK)

        def fold(x):
            end = chunks * CHUNK - length
            padded = jnp.pad(x, ((0, 0), (0, end), (0, 0), (0, 0)))
            folded = padded.reshape(batch, chunks, CHUNK, heads, -1)
            return jnp.moveaxis(folded, 1, 0)

        brake = jnp.broadcast_to(knobs["brake"], (heads,))
        step = jnp.arange(CHUNK)
        lag = step[:, None] - step[None]
        within = jnp.exp(-brake[:, None, None] * jnp.maximum(lag, 0)) * (lag >= 0)
        since = jnp.exp(-brake[:, None] * (step + 1))
        until = jnp.exp(-brake[:, None] * (CHUNK - 1 - step))
        whole = jnp.exp(-brake * CHUNK)[:, None, None]

        def advance(state, chunk):
            query, key, value = chunk
            scores = jnp.einsum("bthk,bshk->bhts", query, key) * within
            mixed = jnp.einsum("bhts,bshv->bthv", scores, value)
            mixed += jnp.einsum("bthk,bhkv,ht->bthv", query, state, since)
            added = jnp.einsum("bshk,bshv,hs->bhkv", key, value, until)
            return whole * state + added, mixed

        parts = (fold(query), fold(key), fold(values_and_ones))
        state = jnp.zeros((batch, heads, query.shape[-1], parts[2].shape[-1]))
        _, mixed = jax.lax.scan(advance, state, parts)
        mixed = jnp.moveaxis(mixed, 0, 1).reshape(batch, -1, *mixed.shape[3:])
        mixed = mixed[:, :length]
        return (mixed[..., :-1] / mixed[..., -1:]).astype(values.dtype)

    def finish(self, features, mixed):
        """Heads side by side, times the output matrix: [B, T, D]."""
        flat = mixed.reshape(*mixed.shape[:2], self.width)
        return flat @ self.out.astype(flat.dtype)


def check_mask(geometry):
    """A state cannot skip sources, so a mask for every sequence is refused."""
    if geometry.mask.ndim != 2:
        raise ValueError(f"mask of shape {geometry.mask.shape}: must be one [T, S]")
