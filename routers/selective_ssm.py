"""Selective state space over time (Mamba-1): a matrix per channel, with signs.

    A_ij = sum_n C_in exp(beta A_n sum_{m=j+1..i} Delta_m) B_jn Delta_j   (per channel)
    y    = out( (A x + D x) * SiLU(z) ),   x = SiLU(conv(in(.))),   z = in(.)

``Delta = softplus(low-rank(x) + bias)``, B and C are linear in x and shared by all
channels, ``A = -exp(A_log)``. The brake ``beta`` multiplies the log-decay ``A Delta``
only: scaling Delta itself would also change the write gate. Neutral: 1, as published.
Limits: at 0 an undamped sum over the past, ``C_i . B_j Delta_j``; as it grows only the
diagonal ``C_i . B_i Delta_i`` is left. The other knobs: see `routers.state_space`.

The matrix acts on x, after the convolution and before the gate; the skip ``D x`` is
outside of it. Channels are routed apart: each channel's rows are normalised first
(magnitudes, and the cancellation), then averaged over the channels of a group.
A row without any magnitude reports the diagonal.

Reference: Gu and Dao 2023 (arXiv 2312.00752), agreeing with the sequential path of
the transformers library; the matrix as in Ali et al. 2024 (arXiv 2403.01590), but
with the decay at the query's own step. Differs from the paper: weights are drawn
normal with one scale, frozen constants are added for ``selectivity``.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from routers import state_space
from routers.base import Array, Geometry, Knob, Knobs, Router, Routing
from routers.decay import checkpointed_scan, segment_sums
from routers.state_space import blend


@dataclasses.dataclass(frozen=True)
class SelectiveSSMConfig:
    """Static settings of `SelectiveSSM`.

    Attributes:
      expand: inner channels per model channel, I = expand * D.
      state: N, decaying states per channel.
      conv: window of the causal convolution; 1 is none.
      step_rank: rank of Delta's projection; 0 is ``ceil(D / 16)``.
      groups: H, groups of channels that are reported; must divide I.
      gated: multiply by SiLU(z).
      init_scale: standard deviation of the weight matrices.
      dtype: of the matrix products; Delta, state and routing are always float32.
    """

    expand: int = 2
    state: int = 16
    conv: int = 4
    step_rank: int = 0
    groups: int = 1
    gated: bool = True
    init_scale: float = 0.1
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        for name in ("expand", "state", "conv", "groups"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: at least 1")
        if self.step_rank < 0:
            raise ValueError(f"step_rank={self.step_rank}: at least 0")


class SelectiveFeatures(struct.PyTreeNode):
    """Projected input; P = I / H channels in each of H groups.

    Attributes:
      value: x after the convolution ``[B, S, H, P]``.
      gate: z ``[B, S, I]``, None where not gated.
      step: Delta after softplus, float32 ``[B, S, H, P]``.
      write: B, ``[B, S, N]``.
      read: C, ``[B, S, N]``.
    """

    value: Array
    gate: Array | None
    step: Array
    write: Array
    read: Array


class Factors(struct.PyTreeNode):
    """The factors of A with the knobs applied, float32.

    Attributes:
      step: Delta in the exponent ``[B, S, H, P]``.
      written: Delta in the write gate ``[B, S, H, P]``.
      write: ``[B, S, 1 or H, N]``.
      read: ``[B, S, 1 or H, N]``.
      rate: ``beta A``, never positive, ``[N, H, P]``.
    """

    step: Array
    written: Array
    write: Array
    read: Array
    rate: Array


@jax.jit
def selective_scan(factors: Factors, value: Array) -> Array:
    """``A value`` of every channel by the recurrence, ``[B, S, H, P]`` float32.

    Compiled on its own, as every loop here: outside of jit a loop whose step is a
    closure would be compiled anew at each call.
    """
    batch, _, groups, channels = value.shape
    state = factors.rate.shape[0]
    source = factors.written * value.astype(jnp.float32)

    def advance(carry: Array, now: tuple[Array, ...]) -> tuple[Array, Array]:
        step, source, write, read = now
        # Channels are innermost, so that every product runs over whole vectors; the
        # read-out is here, so that no [S, I, N] is ever stored.
        decay = jnp.exp(factors.rate * step[:, None])
        carry = decay * carry + write[..., None] * source[:, None]  # [B, N, H, P]
        return carry, jnp.sum(read[..., None] * carry, axis=1)

    over_time = (
        jnp.moveaxis(factors.step, 1, 0),
        jnp.moveaxis(source, 1, 0),
        factors.write.transpose(1, 0, 3, 2),
        factors.read.transpose(1, 0, 3, 2),
    )
    start = jnp.zeros((batch, state, groups, channels), jnp.float32)
    return jnp.moveaxis(checkpointed_scan(advance, start, over_time), 0, 1)


def channel_matrix(
    channel: tuple[Array, Array, Array], write: Array, read: Array
) -> Array:
    """A of one channel in every group, float32 ``[B, H, T, S]``.

    Args:
      channel: Delta in the exponent and as written, ``[B, S, H]``; rates ``[N, H]``.
      write: ``[B, S, 1 or H, N]``.
      read: ``[B, S, 1 or H, N]``.
    """
    step, written, rate = channel
    elapsed = segment_sums(step.swapaxes(1, 2))  # [B, H, T, S]

    def add(total: Array, of_state: tuple[Array, ...]) -> tuple[Array, None]:
        rate, write, read = of_state  # [H], [B, 1 or H, S] twice
        pair = read[..., :, None] * write[..., None, :]
        return total + pair * jnp.exp(rate[:, None, None] * elapsed), None

    # State by state: [T, S, N] never exists.
    states = (rate, write.transpose(3, 0, 2, 1), read.transpose(3, 0, 2, 1))
    total, _ = jax.lax.scan(add, jnp.zeros_like(elapsed), states)
    return state_space.causal(total * written.swapaxes(1, 2)[:, :, None])


def channels_first(factors: Factors) -> tuple[Array, Array, Array]:
    """Delta, written Delta and rate with P first, to loop over `channel_matrix`."""
    arrays = (factors.step, factors.written, factors.rate)
    return tuple(jnp.moveaxis(array, -1, 0) for array in arrays)  # type: ignore


@jax.jit
def average_shares(factors: Factors) -> tuple[Array, Array]:
    """Shares ``[B, H, T, S]`` and cancellation ``[B, H, T]``, averaged over P."""
    batch, length, groups, channels = factors.step.shape

    def add(total: Any, channel: tuple[Array, Array, Array]) -> tuple[Any, None]:
        matrix = channel_matrix(channel, factors.write, factors.read)
        return jax.tree.map(jnp.add, total, state_space.signed_shares(matrix)), None

    shares = jnp.zeros((batch, groups, length, length), jnp.float32)
    total, _ = jax.lax.scan(add, (shares, shares[..., 0]), channels_first(factors))
    return total[0] / channels, total[1] / channels


@jax.jit
def selective_product(factors: Factors, value: Array) -> Array:
    """``A value`` through the matrix of every channel, the oracle of the scan."""

    def apply(channel: Any) -> Array:
        *channel, value = channel
        matrix = channel_matrix(tuple(channel), factors.write, factors.read)
        return jnp.einsum("bhts,bsh->bth", matrix, value)

    values = jnp.moveaxis(value.astype(jnp.float32), -1, 0)
    return jnp.moveaxis(jax.lax.map(apply, (*channels_first(factors), values)), 0, -1)


class SelectiveSSM(Router):
    """The Mamba-1 mixer; see the module docstring for the equation."""

    config: SelectiveSSMConfig = SelectiveSSMConfig()

    kinds: ClassVar[frozenset[str]] = frozenset({"causal"})
    knobs: ClassVar[Mapping[str, Knob]] = state_space.KNOBS

    def setup(self) -> None:
        """Declares the weights; input and gate fused, Delta, B and C fused."""
        config = self.config
        inner, state, groups = config.expand * self.width, config.state, config.groups
        if inner % groups:
            raise ValueError(f"groups={groups} does not divide {inner} inner channels")
        rank = config.step_rank or -(-self.width // 16)
        normal = nn.initializers.normal(config.init_scale)
        parts = 2 if config.gated else 1
        self.input = self.param("input", normal, (self.width, parts * inner))
        self.kernel = self.param("kernel", normal, (config.conv, inner))
        self.kernel_bias = self.param("kernel_bias", nn.initializers.zeros, (inner,))
        self.select = self.param("select", normal, (inner, rank + 2 * state))
        self.step_up = self.param("step_up", normal, (rank, inner))
        self.step_bias = self.param("step_bias", state_space.step_bias, (inner,))
        self.log_rate = self.param("log_rate", _spread_rates, (inner, state))
        self.skip = self.param("skip", nn.initializers.ones, (inner,))
        self.out = self.param("out", normal, (inner, self.width))
        constant = state_space.constant_product(state)
        self.frozen_step = self.param("frozen_step", state_space.step_bias, (inner,))
        self.frozen_write = self.param("frozen_write", constant, (state,))
        self.frozen_read = self.param("frozen_read", constant, (state,))

    def project(self, x: Array) -> SelectiveFeatures:
        """Value, gate, Delta, B and C of ``x [B, S, D]``."""
        config, dtype = self.config, self.config.dtype
        batch, length, width = x.shape
        inner, state = self.skip.shape[0], config.state
        flat = x.reshape(-1, width).astype(dtype) @ self.input.astype(dtype)
        value, gate = flat[:, :inner], flat[:, inner:]
        kernel, bias = self.kernel.astype(dtype), self.kernel_bias.astype(dtype)
        value = value.reshape(batch, length, inner)
        value = jax.nn.silu(state_space.causal_convolution(value, kernel, bias))
        selected = value.reshape(-1, inner) @ self.select.astype(dtype)
        rank = self.step_up.shape[0]
        low, write, read = jnp.split(selected, [rank, rank + state], axis=-1)
        step = (low @ self.step_up.astype(dtype)).astype(jnp.float32)
        grouped = (batch, length, config.groups, inner // config.groups)
        return SelectiveFeatures(
            value=value.reshape(grouped),
            gate=gate.reshape(batch, length, inner) if config.gated else None,
            step=jax.nn.softplus(step + self.step_bias).reshape(grouped),
            write=write.reshape(batch, length, state),
            read=read.reshape(batch, length, state),
        )

    def route(
        self, features: SelectiveFeatures, geometry: Geometry, knobs: Knobs
    ) -> Routing:
        """Shares and cancellation per channel, averaged over each group's channels."""
        state_space.refuse_packed("SelectiveSSM", geometry)
        weights, cancellation = average_shares(self._factors(features, knobs))
        return Routing(
            weights=weights,
            cancellation=cancellation,
            value_norms=state_space.group_norms(features.value),
        )

    def mix(
        self, features: SelectiveFeatures, geometry: Geometry, knobs: Knobs
    ) -> Array:
        """``y [B, T, D]`` by the recurrence, memory linear in T."""
        state_space.refuse_packed("SelectiveSSM", geometry)
        factors = self._factors(features, knobs)
        return self._read(selective_scan(factors, features.value), features)

    def explicit(
        self, features: SelectiveFeatures, geometry: Geometry, knobs: Knobs
    ) -> Array:
        """``y [B, T, D]`` through the signed matrix of every channel."""
        state_space.refuse_packed("SelectiveSSM", geometry)
        factors = self._factors(features, knobs)
        return self._read(selective_product(factors, features.value), features)

    def _factors(self, features: SelectiveFeatures, knobs: Knobs) -> Factors:
        config = self.config
        grouped = features.value.shape[2:]  # (H, P)
        selectivity, content, brake = (
            jnp.reshape(knobs[name], (-1, 1))
            for name in ("selectivity", "content", "brake")
        )
        frozen_step = jax.nn.softplus(self.frozen_step).reshape(grouped)
        step = blend(selectivity, features.step, frozen_step)
        write = blend(selectivity, features.write[:, :, None], self.frozen_write)
        read = blend(selectivity, features.read[:, :, None], self.frozen_read)
        rate = -jnp.exp(self.log_rate.T).reshape(config.state, *grouped)
        return Factors(
            step=step,
            written=blend(content, step, 1.0),
            write=blend(content, write, 1.0 / config.state),
            read=blend(content, read, 1.0),
            rate=brake * rate,
        )

    def _read(self, mixed: Array, features: SelectiveFeatures) -> Array:
        batch, length = mixed.shape[:2]
        value = features.value.astype(jnp.float32)
        skip = self.skip.reshape(value.shape[2:])
        # The sum may be undamped: it stays float32 until the gate has been applied.
        y = (mixed + skip * value).reshape(batch, length, -1)
        if features.gate is not None:
            y = y * jax.nn.silu(features.gate.astype(jnp.float32))
        dtype = self.config.dtype
        flat = y.reshape(batch * length, -1).astype(dtype) @ self.out.astype(dtype)
        return flat.reshape(batch, length, self.width)


def _spread_rates(key: Array, shape: tuple[int, int]) -> Array:
    """``log(1 .. N)`` for every channel, the real-valued S4D initialisation."""
    del key  # the same for every seed, as published
    return jnp.broadcast_to(jnp.log(jnp.arange(1.0, shape[1] + 1.0)), shape)
