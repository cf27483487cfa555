"""The decaying linear attention of Mamba-2 (SSD), from the factors of A.

    A_ij = (C_i . B_j) exp(sum_{m=j+1..i} g_m) Delta_j,  g <= 0           (per head)

The fast path works chunk by chunk: it uses the matrix within a chunk and the state
between chunks. Every exponent is a sum of log-decays and never positive, so nothing
overflows.
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import struct

from routers import state_space
from routers.base import Array
from routers.decay import segment_sums

CHUNK = 32
"""Number of positions in a chunk. On CPU 64 is a fifth slower, 128 nearly twice as
slow."""


class SSDFactors(struct.PyTreeNode):
    """The factors of A with the knobs applied, float32; R' is 1 or R.

    Attributes:
      log_decay: Log-decay ``beta a Delta``, never positive, ``[B, S, G, R]``.
      written: Delta in the write gate, ``[B, S, G, R]``.
      write: Factor B, ``[B, S, G, R', N]``.
      read: Factor C, ``[B, S, G, R', N]``.
    """

    log_decay: Array
    written: Array
    write: Array
    read: Array


def ssd_matrix(factors: SSDFactors) -> Array:
    """A without the written Delta, ``[B, G, R, T, S]``: the decay times the score."""
    decay = jnp.exp(segment_sums(jnp.moveaxis(factors.log_decay, 1, -1)))
    score = jnp.einsum("btgrn,bsgrn->bgrts", factors.read, factors.write)
    return state_space.causal(score * decay)


@partial(jax.jit, static_argnames="chunk")
def ssd_scan(factors: SSDFactors, value: Array, chunk: int = CHUNK) -> Array:
    """``A value`` chunk by chunk, float32 ``[B, S, G, R, P]``; memory linear in S."""
    batch, length, groups, heads, channels = value.shape
    state = factors.write.shape[-1]
    chunk = min(chunk, length)
    chunks = -(-length // chunk)

    def fold(x: Array) -> Array:
        # Padding comes last and affects no output that is kept.
        padding = [(0, 0), (0, chunks * chunk - length)] + [(0, 0)] * (x.ndim - 2)
        folded = jnp.pad(x, padding).reshape(batch, chunks, chunk, *x.shape[2:])
        return jnp.moveaxis(folded, 1, 0)

    def advance(carry: Array, now: tuple[SSDFactors, Array]) -> tuple[Array, Array]:
        here, source = now
        log_decay = jnp.moveaxis(here.log_decay, 1, -1)  # [B, G, R, Q]
        y = jnp.einsum("bgrts,bsgrp->btgrp", ssd_matrix(here), source)
        since_start = jnp.exp(jnp.cumsum(here.log_decay, axis=1))  # [B, Q, G, R]
        before = jnp.einsum("btgrn,bgrpn->btgrp", here.read, carry)
        y = y + since_start[..., None] * before
        # Log-decay after each source, summed on its own rather than by subtraction.
        following = jnp.pad(log_decay[..., 1:], [(0, 0)] * 3 + [(0, 1)])
        to_end = jnp.exp(jax.lax.cumsum(following, axis=3, reverse=True))
        kept = source * jnp.moveaxis(to_end, -1, 1)[..., None]
        added = jnp.einsum("bsgrp,bsgrn->bgrpn", kept, here.write)
        total = jnp.exp(jnp.sum(log_decay, axis=-1))[..., None, None]
        return total * carry + added, y

    source = factors.written[..., None] * value.astype(jnp.float32)
    start = jnp.zeros((batch, groups, heads, channels, state), jnp.float32)
    folded = jax.tree.map(fold, (factors, source))
    _, y = jax.lax.scan(jax.checkpoint(advance), start, folded)
    y = jnp.moveaxis(y, 0, 1).reshape(batch, chunks * chunk, *value.shape[2:])
    return y[:, :length]
