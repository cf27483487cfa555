"""Selective state space over time (Mamba-1): a matrix per channel, with signs.

    A_ij = sum_n C_in exp(beta A_n sum_{m=j+1..i} Delta_m) B_jn Delta_j   (per channel)
    y    = out( (A x + D x) * SiLU(z) ),   x = SiLU(conv(in(.))),   z = in(.)

``Delta = softplus(low-rank(x) + bias)``, B and C are linear in x and shared by all
channels, ``A = -exp(A_log)``. The brake ``beta`` multiplies the log-decay ``A Delta``
only, since scaling Delta itself would also change the write gate. Neutral: 1, as
published. Limits: at 0 the router is an undamped sum over the past, ``C_i . B_j
Delta_j``; as the brake grows only the diagonal ``C_i . B_i Delta_i`` is left. The other
knobs are explained in `routers.state_space`.

The matrix acts on x, after the convolution and before the gate; it does not contain the
skip ``D x``. Each channel has a routing of its own: its rows are normalised first
(magnitudes and cancellation) and then averaged over the channels of a group. The column
sums of every channel are reported beside the average. A row of zero magnitude reports
the diagonal.

Reference: Gu and Dao 2023 (arXiv 2312.00752), agreeing with the sequential path of
the transformers library; the matrix as in Ali et al. 2024 (arXiv 2403.01590), but
with the decay at the query's own step. It differs from the paper in two ways: weights
are drawn from one normal distribution, and frozen constants are added for
``selectivity``.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from routers import state_space
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
from routers.scaling import by_channel
from routers.segments import SegmentedRouter
from routers.selective_scan import (
    Factors,
    average_shares,
    continued_scan,
    selective_product,
    selective_scan,
)
from routers.state_space import blend
from routers.validation import head_width, require_at_least

SEGMENT = 32
"""Number of positions whose every state the backward pass holds at once."""


@dataclasses.dataclass(frozen=True)
class SelectiveSSMConfig:
    """Static settings of `SelectiveSSM`.

    Attributes:
      expand: Number of inner channels per model channel, I = expand * D.
      state: Number of decaying states per channel, N.
      conv: Window of the causal convolution; 1 means no convolution.
      step_rank: Rank of Delta's projection; 0 stands for ``ceil(D / 16)``.
      groups: Number of groups of channels that are reported, H; must divide I.
      gated: Whether the output is multiplied by SiLU(z).
      init_scale: Standard deviation of the initial weight matrices.
      dtype: Type of the matrix products; Delta, state and routing are always float32.
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
        require_at_least(
            1,
            expand=self.expand,
            state=self.state,
            conv=self.conv,
            groups=self.groups,
        )
        require_at_least(0, step_rank=self.step_rank)


class SelectiveFeatures(struct.PyTreeNode):
    """Projected input; P = I / H channels in each of H groups.

    Attributes:
      value: x after the convolution, ``[B, S, H, P]``.
      gate: z, ``[B, S, I]``; None without a gate.
      step: Delta after softplus, float32 ``[B, S, H, P]``.
      write: Factor B, ``[B, S, N]``.
      read: Factor C, ``[B, S, N]``.
    """

    value: Array
    gate: Array | None
    step: Array
    write: Array
    read: Array


class SelectiveSSM(SegmentedRouter):
    """The Mamba-1 mixer; see the module docstring for the equation."""

    config: SelectiveSSMConfig = SelectiveSSMConfig()

    segment: ClassVar[int] = SEGMENT
    kinds: ClassVar[frozenset[str]] = frozenset({"causal"})
    knobs: ClassVar[Mapping[str, Knob]] = state_space.KNOBS

    def setup(self) -> None:
        """Declares the weights; input and gate are fused, and so are Delta, B and C."""
        config = self.config
        inner, state = config.expand * self.width, config.state
        head_width(inner, config.groups, "groups", "the inner width")
        rank = config.step_rank or -(-self.width // 16)
        normal = nn.initializers.normal(config.init_scale)
        parts = 2 if config.gated else 1
        self.input = self.param("input", normal, (self.width, parts * inner))
        self.kernel = self.param("kernel", normal, (config.conv, inner))
        self.kernel_bias = self.param("kernel_bias", nn.initializers.zeros, (inner,))
        self.select = self.param("select", normal, (inner, rank + 2 * state))
        self.step_up = self.param("step_up", normal, (rank, inner))
        self.step_bias = self.param("step_bias", state_space.step_bias, (inner,))
        self.log_rate = self.param("log_rate", _rates_by_state, (inner, state))
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
        step = jax.nn.softplus(step + self.step_bias)
        return SelectiveFeatures(
            value=split_heads(value, batch, config.groups),
            gate=gate.reshape(batch, length, inner) if config.gated else None,
            step=split_heads(step, batch, config.groups),
            write=write.reshape(batch, length, state),
            read=read.reshape(batch, length, state),
        )

    def route(
        self, features: SelectiveFeatures, geometry: Geometry, knobs: Knobs
    ) -> Routing:
        """Shares and cancellation averaged over each group, mass of every channel."""
        require_whole_sequences(geometry)
        weights, cancellation, mass = average_shares(self.factors(features, knobs))
        return Routing(
            weights=weights,
            cancellation=cancellation,
            value_norms=head_norms(features.value),
            channel_mass=mass,
        )

    def values(self, features: SelectiveFeatures) -> Array:
        """The input after the convolution, ``[B, S, H, P]``."""
        return features.value

    def combine(
        self,
        features: SelectiveFeatures,
        values: Array,
        geometry: Geometry,
        knobs: Knobs,
    ) -> Array:
        """``A x`` by the recurrence, float32, memory linear in T."""
        require_whole_sequences(geometry)
        return selective_scan(self.factors(features, knobs), values)

    def lookback(self) -> int:
        """The window of the convolution without the present position."""
        return self.config.conv - 1

    def initial_state(self, batch: int) -> Array:
        """Zeros ``[B, N, H, P]``."""
        config = self.config
        grouped = (config.groups, self.skip.shape[0] // config.groups)
        return jnp.zeros((batch, config.state, *grouped), jnp.float32)

    def continue_mix(
        self, features: SelectiveFeatures, state: Array, knobs: Knobs
    ) -> tuple[Array, Array]:
        """``y [B, T, D]`` by the recurrence after a state, and the state at the end."""
        factors = self.factors(features, knobs)
        mixed, state = continued_scan(factors, features.value, state)
        return self.finish(features, mixed), state

    def explicit(
        self, features: SelectiveFeatures, geometry: Geometry, knobs: Knobs
    ) -> Array:
        """``y [B, T, D]`` through the signed matrix of every channel."""
        require_whole_sequences(geometry)
        factors = self.factors(features, knobs)
        return self.finish(features, selective_product(factors, features.value))

    def factors(self, features: SelectiveFeatures, knobs: Knobs) -> Factors:
        """Delta, B, C and A with the knobs applied."""
        config = self.config
        grouped = features.value.shape[2:]  # (H, P)
        of_step, of_write, of_read, content, brake = (
            jnp.reshape(knob, (-1, 1))
            for knob in (
                *state_space.selectivities(knobs),
                knobs["content"],
                knobs["brake"],
            )
        )
        frozen_step = jax.nn.softplus(self.frozen_step).reshape(grouped)
        step = blend(of_step, features.step, frozen_step)
        write = blend(of_write, features.write[:, :, None], self.frozen_write)
        read = blend(of_read, features.read[:, :, None], self.frozen_read)
        rate = -jnp.exp(self.log_rate.T).reshape(config.state, *grouped)
        return Factors(
            step=step,
            written=blend(content, step, 1.0),
            write=blend(content, write, 1.0 / config.state),
            read=blend(content, read, 1.0),
            rate=brake * rate,
        )

    def finish(self, features: SelectiveFeatures, mixed: Array) -> Array:
        """``y [B, T, D]``: skip, gate, output matrix."""
        batch, length = mixed.shape[:2]
        value = features.value.astype(jnp.float32)
        skip = self.skip.reshape(value.shape[2:])
        # The sum may be undamped, so it stays float32 until the gate has been applied.
        y = (mixed + by_channel(value, skip)).reshape(batch, length, -1)
        if features.gate is not None:
            y = y * jax.nn.silu(features.gate.astype(jnp.float32))
        dtype = self.config.dtype
        flat = y.reshape(batch * length, -1).astype(dtype) @ self.out.astype(dtype)
        return flat.reshape(batch, length, self.width)


def _rates_by_state(key: Array, shape: tuple[int, int]) -> Array:
    """``log(1 .. N)`` for every channel, the real-valued S4D initialisation."""
    del key  # the same for every seed, as published
    return jnp.broadcast_to(jnp.log(jnp.arange(1.0, shape[1] + 1.0)), shape)
