"""RWKV-4: a softmax over the past in every channel, run as a recurrence.

    A_ij = softmax_j(c k_j - beta (i - 1 - j) e^w)   for j < i,
                     c (u + k_i)                     for j = i      (per channel)
    y_i  = (sigmoid(r_i) * sum_j A_ij v_j) W_out

The brake ``beta`` multiplies the decay ``e^w`` per elapsed step, which is the same as
``w + log beta``. Limits: at 0 the router is a softmax over all of the past, by content
only; as the brake grows only ``{i, i - 1}`` keep mass, since the first step back does
not decay (``reach`` 1). Rows always sum to 1. Neutral: 1, the published router.

``content`` multiplies the keys *and* the bonus ``u``, which is a log-weight without
position, so at content 0 the bonus vanishes too. A key is one number per channel, so
there are no key norms to report and key normalisation does not apply.

The routing averages the channels of each of H groups after the softmax; the column sums
of every channel are reported beside it. ``heads`` determines only these groups, and
which channels a knob ``[H]`` acts on.

Reference: Peng et al. 2023 (arXiv 2305.13048). It differs from the paper in its initial
values: one normal distribution for all matrices, a token shift of one half everywhere,
and at every depth the ``w`` that is published for the first layer.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from routers.base import (
    Array,
    Geometry,
    Knob,
    Knobs,
    Routing,
    head_norms,
    split_heads,
)
from routers.decay import require_whole_sequences
from routers.recurrence import decay_ramp, shift_tokens
from routers.rwkv_scan import PastSums, no_sums, run_rows
from routers.segments import SegmentedRouter, scan_segments
from routers.validation import head_width, require_at_least, require_positive

SEGMENT = 128
"""Number of positions whose intermediates the backward pass holds at once."""


@dataclasses.dataclass(frozen=True)
class RWKV4Config:
    """Static settings of `RWKV4`.

    Attributes:
      heads: Number of groups of channels H; must divide the model width.
      token_shift: Whether each position is mixed with the one before it, ahead of the
        projections.
      init_scale: Standard deviation of every initial weight matrix.
      dtype: Type of the matrix products; the recurrence is always float32.
    """

    heads: int = 1
    token_shift: bool = True
    init_scale: float = 0.02
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        require_at_least(1, heads=self.heads)
        require_positive(init_scale=self.init_scale)


class RWKV4Features(struct.PyTreeNode):
    """Projected input: key, value and receptance, each ``[B, S, H, K]``."""

    key: Array
    value: Array
    receptance: Array


def initial_bonus(_: Array, shape: tuple[int, ...]) -> Array:
    """The bonus ``u``: log 0.3 plus a zigzag that separates neighbouring channels."""
    zigzag = (jnp.arange(math.prod(shape)) + 1) % 3 - 1.0
    return (math.log(0.3) + 0.5 * zigzag).reshape(shape)


@jax.jit
def weighted_means(key: Array, value: Array, bonus: Array, decay: Array) -> Array:
    """``sum_j A_ij v_j`` by the recurrence, float32 ``[B, T, H, K]``.

    Key and value are ``[B, T, H, K]``, bonus and decay, with the brake in it,
    ``[H, K]``.
    """
    state = no_sums(key.shape[0], bonus.size)
    if key.shape[1] <= SEGMENT:
        return continued_means(key, value, bonus, decay, state)[0]

    def step(params: Any, state: Any, x: Any) -> Any:
        (key, value), (bonus, decay) = x, params
        means, state = continued_means(key, value, bonus, decay, state)
        return state, means

    return scan_segments(step, (bonus, decay), state, (key, value), SEGMENT)


def continued_means(
    key: Array, value: Array, bonus: Array, decay: Array, state: PastSums
) -> tuple[Array, PastSums]:
    """`weighted_means` after a state, and the state at the end; see `run_rows`."""
    batch, length, *grouped = key.shape
    shape = (batch, length, math.prod(grouped))
    key, value = key.reshape(shape), value.reshape(shape)
    y, state = run_rows(key, value, bonus.reshape(-1), decay.reshape(-1), state)
    return y.reshape(batch, length, *grouped), state


@jax.jit
def through_matrices(
    key: Array, value: Array, bonus: Array, decay: Array
) -> tuple[Array, Array, Array]:
    """What needs the matrix of every channel, which is held for one at a time.

    Arguments as in `weighted_means`.

    Returns:
      Weights averaged over channels ``[B, H, T, S]``, the column sums of every channel
      ``[B, H, K, S]``, and `weighted_means` by matrix.
    """
    batch, length, heads, channels = key.shape
    position = jnp.arange(length)
    lag = (position[:, None] - 1 - position[None, :])[None, None]  # -1 at the query
    order = (3, 0, 2, 1)
    value = value.astype(jnp.float32)
    xs = (key.transpose(order), value.transpose(order), bonus.T, decay.T)

    def add(total: Array, xs: tuple[Array, ...]) -> tuple[Array, tuple[Array, Array]]:
        key, value = xs[:2]  # [B, H, S]
        bonus, decay = (x[None, :, None, None] for x in xs[2:])
        logits = key[..., None, :] + jnp.where(
            lag < 0, bonus, -decay * jnp.maximum(lag, 0)
        )
        weights = jax.nn.softmax(jnp.where(lag >= -1, logits, -jnp.inf), axis=-1)
        mixed = jnp.einsum("bhts,bhs->bht", weights, value)
        return total + weights, (jnp.sum(weights, axis=-2), mixed)

    total = jnp.zeros((batch, heads, length, length), jnp.float32)
    total, (mass, means) = jax.lax.scan(add, total, xs)  # [K, B, H, S], [K, B, H, T]
    return total / channels, jnp.moveaxis(mass, 0, 2), means.transpose(1, 3, 2, 0)


class RWKV4(SegmentedRouter):
    """RWKV-4 time mixing; see the module docstring for the equation."""

    config: RWKV4Config = RWKV4Config()

    segment: ClassVar[int] = SEGMENT
    kinds: ClassVar[frozenset[str]] = frozenset({"causal"})
    reach: ClassVar[float] = 1.0
    roles: ClassVar[Mapping[str, str]] = {
        "channel_key": "key",
    }
    knobs: ClassVar[Mapping[str, Knob]] = {
        "brake": Knob(
            1.0,
            0.0,
            math.inf,
            "scale of the decay; at 0 pure content, towards inf {i, i - 1}",
        ),
        "content": Knob(
            1.0, 0.0, math.inf, "scale of keys and bonus; at 0 only the decay is left"
        ),
    }

    def setup(self) -> None:
        """Declares the matrices (key, value, receptance stacked) and the decay."""
        width, heads = self.width, self.config.heads
        normal = nn.initializers.normal(self.config.init_scale)
        self.kvr = self.param("kvr", normal, (3, width, width))
        self.out = self.param("out", normal, (width, width))
        shape = (heads, head_width(width, heads))
        self.time_decay = self.param("time_decay", decay_ramp(-5.0, 3.0), shape)
        self.time_first = self.param("time_first", initial_bonus, shape)
        if self.config.token_shift:
            half = nn.initializers.constant(0.5)
            self.time_mix = self.param("time_mix", half, (3, 1, 1, width))

    def project(self, x: Array) -> RWKV4Features:
        """Key, value and receptance of ``x [B, S, D]``, each ``[B, S, H, K]``."""
        batch, _, width = x.shape
        dtype, heads = self.config.dtype, self.config.heads
        x, kvr = x.astype(dtype), self.kvr.astype(dtype)
        if not self.config.token_shift:
            fused = jnp.moveaxis(kvr, 0, 1).reshape(width, 3 * width)
            parts = jnp.split(x.reshape(-1, width) @ fused, 3, axis=-1)
            return RWKV4Features(*(split_heads(part, batch, heads) for part in parts))
        # x is mixed with the position before it three times. One difference and three
        # products take less time and memory than an array [3, B, T, D].
        change = shift_tokens(x) - x
        parts = [
            (x + change * (1 - present).astype(dtype)).reshape(-1, width) @ matrix
            for present, matrix in zip(self.time_mix, kvr, strict=True)
        ]
        return RWKV4Features(*(split_heads(part, batch, heads) for part in parts))

    def route(
        self, features: RWKV4Features, geometry: Geometry, knobs: Knobs
    ) -> Routing:
        """Weights averaged over each group, norms of values, mass of every channel."""
        require_whole_sequences(geometry)
        weights, mass, _ = through_matrices(*self._scan_inputs(features, knobs))
        norms = head_norms(features.value)
        return Routing(weights=weights, value_norms=norms, channel_mass=mass)

    def values(self, features: RWKV4Features) -> Array:
        """The values ``[B, S, H, K]``."""
        return features.value

    def combine(
        self, features: RWKV4Features, values: Array, geometry: Geometry, knobs: Knobs
    ) -> Array:
        """Mixed values by the recurrence, float32."""
        require_whole_sequences(geometry)
        given = features.replace(value=values)
        return weighted_means(*self._scan_inputs(given, knobs))

    def finish(self, features: RWKV4Features, mixed: Array) -> Array:
        """``y [B, T, D]``: receptance and output matrix."""
        batch, queries = mixed.shape[:2]
        gated = jax.nn.sigmoid(features.receptance.astype(jnp.float32)) * mixed
        flat = gated.reshape(-1, self.width).astype(self.config.dtype)
        return (flat @ self.out.astype(flat.dtype)).reshape(batch, queries, self.width)

    def lookback(self) -> int:
        """One position, for the token shift."""
        return 1

    def initial_state(self, batch: int) -> PastSums:
        """The sums before any source, each ``[B, D]``."""
        return no_sums(batch, self.width)

    def continue_mix(
        self, features: RWKV4Features, state: PastSums, knobs: Knobs
    ) -> tuple[Array, PastSums]:
        """``y [B, T, D]`` by the recurrence after a state, and the state at the end."""
        means, state = continued_means(*self._scan_inputs(features, knobs), state)
        return self.finish(features, means), state

    def explicit(
        self, features: RWKV4Features, geometry: Geometry, knobs: Knobs
    ) -> Array:
        """``y [B, T, D]`` through the matrix of every channel."""
        require_whole_sequences(geometry)
        *_, means = through_matrices(*self._scan_inputs(features, knobs))
        return self.finish(features, means)

    def _scan_inputs(
        self, features: RWKV4Features, knobs: Knobs
    ) -> tuple[Array, Array, Array, Array]:
        content = jnp.reshape(knobs["content"], (-1, 1))
        key = content[None, None] * features.key.astype(jnp.float32)
        decay = jnp.reshape(knobs["brake"], (-1, 1)) * jnp.exp(self.time_decay)
        return key, features.value, content * self.time_first, decay
