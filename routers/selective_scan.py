"""The selective recurrence of Mamba-1 and its matrix, from the factors of A.

    A_ij = sum_n C_in exp(rate_n sum_{m=j+1..i} Delta_m) B_jn Delta_j   (per channel)

The same sum is computed in two ways: by a scan over time, linear in T, and by the
explicit matrix of one channel after the other. Neither ever holds an array of
[I, T, S, N], and the scan holds no array of [T, I, N] beyond a chunk.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from routers import state_space
from routers.base import Array
from routers.decay import segment_sums, signed_shares
from routers.scaling import by_channel, by_position
from routers.segments import scan_segments

CHUNK = 32
"""Number of positions whose every state is held at once."""


class Factors(struct.PyTreeNode):
    """The factors of A with the knobs applied, float32.

    Attributes:
      step: Delta in the exponent, ``[B, S, H, P]``.
      written: Delta in the write gate, ``[B, S, H, P]``.
      write: Factor B, ``[B, S, 1 or H, N]``.
      read: Factor C, ``[B, S, 1 or H, N]``.
      rate: ``beta A``, never positive, ``[N, H, P]``.
    """

    step: Array
    written: Array
    write: Array
    read: Array
    rate: Array


@functools.partial(jax.jit, static_argnames="chunk")
def selective_scan(factors: Factors, value: Array, chunk: int = CHUNK) -> Array:
    """``A value`` of every channel by the recurrence, ``[B, S, H, P]`` float32.

    It is compiled on its own, like every loop here: outside of jit, a loop whose step
    is a closure would be compiled again at each call.
    """
    state = empty_state(factors, value)
    if value.shape[1] <= chunk:
        return continued_scan(factors, value, state)[0]
    along = (factors.step, factors.written, factors.write, factors.read, value)
    return scan_segments(_advance, factors.rate, state, along, chunk)


def _advance(rate: Array, state: Array, now: tuple[Array, ...]) -> tuple[Array, Array]:
    step, written, write, read, value = now
    factors = Factors(step, written, write, read, rate)
    y, state = continued_scan(factors, value, state)
    return state, y


def continued_scan(factors: Factors, value: Array, state: Array) -> tuple[Array, Array]:
    """`selective_scan` after a state, storing every state, and the state at the end.

    The loop itself only multiplies and adds: its factors are computed before it and its
    states are read after it, for all positions at once. Sums over N are written out,
    and other sums are matrix products (`routers.scaling`), because XLA's CPU reductions
    took three quarters of a step's time.
    """
    source = factors.written * value.astype(jnp.float32)
    step, source, write, read = (
        jnp.moveaxis(part, 1, 0)
        for part in (factors.step, source, factors.write, factors.read)
    )
    writes, reads = (jnp.unstack(part, axis=-1) for part in (write, read))
    # [S, B, N, H, P] both.
    decay = jnp.stack(
        [jnp.exp(by_channel(step, rate)) for rate in factors.rate], axis=2
    )
    added = jnp.stack([by_position(source, write) for write in writes], axis=2)

    def advance(state: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        decay, added = now
        state = decay * state + added
        return state, state

    state, states = jax.lax.scan(advance, state, (decay, added))
    y = functools.reduce(jnp.add, map(by_position, jnp.unstack(states, axis=2), reads))
    return jnp.moveaxis(y, 0, 1), state


def empty_state(factors: Factors, value: Array) -> Array:
    """The state before any source, ``[B, N, H, P]``."""
    batch, _, groups, channels = value.shape
    return jnp.zeros((batch, factors.rate.shape[0], groups, channels), jnp.float32)


def channel_matrix(
    channel: tuple[Array, Array, Array], write: Array, read: Array
) -> Array:
    """A of one channel in every group, float32 ``[B, H, T, S]``.

    Args:
      channel: Delta in the exponent and Delta as written, ``[B, S, H]``, and rates
        ``[N, H]``.
      write: Factor B, ``[B, S, 1 or H, N]``.
      read: Factor C, ``[B, S, 1 or H, N]``.
    """
    step, written, rate = channel
    elapsed = segment_sums(step.swapaxes(1, 2))  # [B, H, T, S]

    def add(total: Array, of_state: tuple[Array, ...]) -> tuple[Array, None]:
        rate, write, read = of_state  # [H], [B, 1 or H, S] twice
        pair = read[..., :, None] * write[..., None, :]
        return total + pair * jnp.exp(rate[:, None, None] * elapsed), None

    # States are added one at a time, so that [T, S, N] never exists.
    states = (rate, write.transpose(3, 0, 2, 1), read.transpose(3, 0, 2, 1))
    total, _ = jax.lax.scan(add, jnp.zeros_like(elapsed), states)
    return state_space.causal(total * written.swapaxes(1, 2)[:, :, None])


def channels_first(factors: Factors) -> tuple[Array, Array, Array]:
    """Delta, written Delta and rate with P first, to map `channel_matrix` over P."""
    step, written, rate = factors.step, factors.written, factors.rate
    return (
        jnp.moveaxis(step, -1, 0),
        jnp.moveaxis(written, -1, 0),
        jnp.moveaxis(rate, -1, 0),
    )


@jax.jit
def average_shares(factors: Factors) -> tuple[Array, Array, Array]:
    """Shares ``[B, H, T, S]`` and cancellation ``[B, H, T]``, averaged over P.

    The third array are the column sums of every channel's shares, ``[B, H, P, S]``.
    """
    batch, length, groups, channels = factors.step.shape

    def add(total: Any, channel: tuple[Array, Array, Array]) -> tuple[Any, Array]:
        matrix = channel_matrix(channel, factors.write, factors.read)
        found = signed_shares(matrix)
        return jax.tree.map(jnp.add, total, found), jnp.sum(found[0], axis=-2)

    shares = jnp.zeros((batch, groups, length, length), jnp.float32)
    total, mass = jax.lax.scan(add, (shares, shares[..., 0]), channels_first(factors))
    return total[0] / channels, total[1] / channels, jnp.moveaxis(mass, 0, 2)


@jax.jit
def selective_product(factors: Factors, value: Array) -> Array:
    """``A value`` through the matrix of every channel, to check the scan."""

    def apply(channel: Any) -> Array:
        *channel, value = channel
        matrix = channel_matrix(tuple(channel), factors.write, factors.read)
        return jnp.einsum("bhts,bsh->bth", matrix, value)

    values = jnp.moveaxis(value.astype(jnp.float32), -1, 0)
    return jnp.moveaxis(jax.lax.map(apply, (*channels_first(factors), values)), 0, -1)
