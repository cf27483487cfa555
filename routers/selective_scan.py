"""The selective recurrence of Mamba-1 and its matrix, from the factors of A.

    A_ij = sum_n C_in exp(rate_n sum_{m=j+1..i} Delta_m) B_jn Delta_j   (per channel)

Two readings of the same sum: a scan over time, linear in T, and the explicit matrix of
one channel after the other. Neither ever holds an array of [T, I, N] or [I, T, S, N].
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from routers import state_space
from routers.base import Array
from routers.decay import checkpointed_scan, segment_sums, signed_shares

CHUNK = 32


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


@partial(jax.jit, static_argnames="chunk")
def selective_scan(factors: Factors, value: Array, chunk: int = CHUNK) -> Array:
    """``A value`` of every channel by the recurrence, ``[B, S, H, P]`` float32.

    Compiled on its own, as every loop here: outside of jit a loop whose step is a
    closure would be compiled anew at each call.
    """
    state = empty_state(factors, value)
    advance, over_time = _in_time(factors, value)
    return jnp.moveaxis(checkpointed_scan(advance, state, over_time, chunk), 0, 1)


def continued_scan(factors: Factors, value: Array, state: Array) -> tuple[Array, Array]:
    """`selective_scan` from a state on, every step stored, and the state after it."""
    advance, over_time = _in_time(factors, value)
    state, y = jax.lax.scan(advance, state, over_time)
    return jnp.moveaxis(y, 0, 1), state


def empty_state(factors: Factors, value: Array) -> Array:
    """The state before any source, ``[B, N, H, P]``."""
    batch, _, groups, channels = value.shape
    return jnp.zeros((batch, factors.rate.shape[0], groups, channels), jnp.float32)


def _in_time(factors: Factors, value: Array) -> tuple[Any, tuple[Array, ...]]:
    """One step of the recurrence, and what it consumes with time first."""
    source = factors.written * value.astype(jnp.float32)

    def advance(carry: Array, now: tuple[Array, ...]) -> tuple[Array, Array]:
        step, source, write, read = now
        # Channels are innermost, so that every product runs over whole vectors; the
        # read-out is here, so that no [S, I, N] is ever stored.
        decay = jnp.exp(factors.rate * step[:, None])
        carry = decay * carry + write[..., None] * source[:, None]  # [B, N, H, P]
        return carry, jnp.sum(read[..., None] * carry, axis=1)

    return advance, (
        jnp.moveaxis(factors.step, 1, 0),
        jnp.moveaxis(source, 1, 0),
        factors.write.transpose(1, 0, 3, 2),
        factors.read.transpose(1, 0, 3, 2),
    )


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
    step, written, rate = factors.step, factors.written, factors.rate
    return (
        jnp.moveaxis(step, -1, 0),
        jnp.moveaxis(written, -1, 0),
        jnp.moveaxis(rate, -1, 0),
    )


@jax.jit
def average_shares(factors: Factors) -> tuple[Array, Array]:
    """Shares ``[B, H, T, S]`` and cancellation ``[B, H, T]``, averaged over P."""
    batch, length, groups, channels = factors.step.shape

    def add(total: Any, channel: tuple[Array, Array, Array]) -> tuple[Any, None]:
        matrix = channel_matrix(channel, factors.write, factors.read)
        return jax.tree.map(jnp.add, total, signed_shares(matrix)), None

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
