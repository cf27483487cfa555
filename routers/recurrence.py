"""Functions that signed routers with a matrix state share: scan, matrix and shares.

    S_i = diag(e^{g_i}) S_{i-1} + k_i v_i^T,        y_i = q_i S_i
    A_ij = sum_c q_ic k_jc exp(sum_{m=j+1..i} g_mc)              y_i = sum_j A_ij v_j

with log-decays ``g <= 0`` that already contain the brake. With a bonus ``u`` the state
is read before the step: the sum over m ends at ``i - 1``, and the diagonal is
``A_ii = q_i . (u * k_i)``.

The entries of ``A`` have either sign, and its rows do not sum to one. The routing
reports the shares of magnitude ``|A_ij| / sum_j |A_ij|`` and the cancellation
``|sum_j A_ij| / sum_j |A_ij|``.
"""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from routers.base import Array, Routing, head_norms
from routers.decay import segment_sums, signed_shares

CHUNK = 8
"""Number of positions in a chunk with one decay per channel.

It is the fastest of 8, 16 and 32 on CPU: forward and backward at T = 1024, K = 64 take
15, 20 and 36 ms, a scan of single steps 106 ms (with K = 16 in 4 heads 10, 13, 31 and
6 ms)."""
SCALAR_CHUNK = 16
"""Number of positions in a chunk with one decay per head.

There 8, 16 and 32 take 7, 3 and 3 ms, a scan of single steps 83 ms."""


def shift_tokens(x: Array) -> Array:
    """``x [B, T, D]`` shifted one step later, with zeros at the first position."""
    return jnp.pad(x[:, :-1], ((0, 0), (1, 0), (0, 0)))


def decay_ramp(low: float, high: float) -> Callable[..., Array]:
    """Initialiser of log-rates that rise from low to high over channels, as in RWKV."""

    def init(_: Array, shape: tuple[int, ...]) -> Array:
        place = jnp.linspace(0.0, 1.0, math.prod(shape))
        return (low + (high - low) * place**0.7).reshape(shape)

    return init


def over_heads(knob: Array) -> Array:
    """A scalar or ``[H]`` knob, shaped to broadcast against ``[B, T, H, K]``."""
    return jnp.reshape(knob, (1, 1, -1, 1))


def content_factor(factor: Array, content: Array, constant: float) -> Array:
    """``c x + (1 - c) constant``: one factor of a signed content product.

    Interpolating each factor, instead of the product, needs no second scan.

    Args:
      factor: Query or key, ``[B, T, H, K]``.
      content: Knob c, scalar or ``[H]``.
      constant: Value of the factor at c = 0, chosen so that the products sum to 1 over
        channels.

    Returns:
      The factor, float32 ``[B, T, H, K]``.
    """
    content = over_heads(content)
    return content * factor.astype(jnp.float32) + (1.0 - content) * constant


@partial(jax.jit, static_argnames="chunk")
def read_state(
    query: Array,
    key: Array,
    value: Array,
    log_decay: Array,
    bonus: Array | None = None,
    chunk: int = CHUNK,
) -> Array:
    """``y_i = sum_j A_ij v_j``: the matrix within a chunk, the state between chunks.

    Memory is linear in T. Every exponent is a sum of log-decays and never positive.

    Args:
      query: Queries ``[B, T, H, K]``, which include the scale of the score.
      key: Keys ``[B, T, H, K]``.
      value: Values ``[B, T, H, V]``.
      log_decay: Log-decays ``[B, T, H, K]`` or ``[B, T, H, 1]``, non-positive.
      bonus: Bonus ``[1, H, K]``, with which the state is read before the step; or None.
      chunk: Number of positions in a chunk.

    Returns:
      y, float32 ``[B, T, H, V]``.
    """
    batch, length, heads, width = key.shape
    chunk = min(chunk, length)
    chunks = -(-length // chunk)

    def fold(x: Array) -> Array:
        # Padding comes last and affects no output that is kept.
        padding = [(0, 0), (0, chunks * chunk - length), (0, 0), (0, 0)]
        folded = jnp.pad(x.astype(jnp.float32), padding)
        folded = folded.reshape(batch, chunks, chunk, heads, x.shape[-1])
        return folded.transpose(1, 0, 3, 4, 2)  # [chunks, B, H, K, C]

    def advance(state: Array, xs: tuple[Array, ...]) -> tuple[Array, Array]:
        query, key, value, log_decay = xs
        weights = chunk_matrix(query, key, log_decay, bonus)
        y = jnp.einsum("bhts,bhvs->bhvt", weights, value)
        since_start = jnp.cumsum(log_decay, axis=-1)
        if bonus is not None:  # read before the step
            since_start = jnp.pad(since_start[..., :-1], [(0, 0)] * 3 + [(1, 0)])
        y = y + jnp.einsum("bhkt,bhkv->bhvt", query * jnp.exp(since_start), state)
        # Log-decay after each source, summed on its own rather than by subtraction.
        following = jnp.pad(log_decay[..., 1:], [(0, 0)] * 3 + [(0, 1)])
        to_end = jnp.exp(jax.lax.cumsum(following, axis=3, reverse=True))
        added = jnp.einsum("bhks,bhvs->bhkv", key * to_end, value)
        # Decays close to 1 lose digits to rounding; their distance from 1 does not.
        loss = jnp.expm1(jnp.sum(log_decay, axis=-1))[..., None]
        return state + loss * state + added, y

    state = jnp.zeros((batch, heads, width, value.shape[-1]), jnp.float32)
    folded = jax.tree.map(fold, (query, key, value, log_decay))
    _, y = jax.lax.scan(jax.checkpoint(advance), state, folded)
    y = y.transpose(1, 0, 4, 2, 3)  # [B, chunks, C, H, V]
    return y.reshape(batch, chunks * chunk, heads, -1)[:, :length]


def chunk_matrix(
    query: Array, key: Array, log_decay: Array, bonus: Array | None
) -> Array:
    """``A [B, H, C, C]`` of one chunk from ``[B, H, K, C]``, all channels at once."""
    decay = jnp.exp(exponents(log_decay, bonus is not None))
    if log_decay.shape[2] == 1:  # with one decay per head the score stays a product
        pairs = jnp.einsum("bhkt,bhks->bhts", query, key) * decay[:, :, 0]
    else:
        pairs = jnp.einsum("bhkt,bhks,bhkts->bhts", query, key, decay)
    return with_bonus(pairs, query, key, bonus)


def exponents(log_decay: Array, before_step: bool) -> Array:
    """``sum_{m=j+1..i} g_m``, or to ``i - 1``, for ``j < i``: ``[..., T, S]``."""
    sums = segment_sums(log_decay)
    # The sum that ends one step earlier is that of the preceding query.
    return jnp.tril(jnp.roll(sums, 1, axis=-2), -1) if before_step else sums


def with_bonus(pairs: Array, query: Array, key: Array, bonus: Array | None) -> Array:
    """Causal ``[B, H, T, S]``; the bonus on the diagonal, from ``[B, H, K, T]``."""
    if bonus is None:
        return jnp.tril(pairs)
    own = jnp.einsum("bhkt,bhkt->bht", query, key * bonus[..., None])
    return jnp.tril(pairs, -1) + own[..., None] * jnp.eye(pairs.shape[-1])[None, None]


@jax.jit
def pair_weights(
    query: Array, key: Array, log_decay: Array, bonus: Array | None = None
) -> Array:
    """The signed matrix ``A [B, H, T, S]``, float32; arguments as in `read_state`.

    Channels are added one at a time, so that no array exceeds ``[B, H, T, S]``.
    """
    batch, length, heads, _ = key.shape
    query, key, log_decay = (
        jnp.transpose(x.astype(jnp.float32), (0, 2, 3, 1))  # [B, H, K, T]
        for x in (query, key, jnp.broadcast_to(log_decay, key.shape))
    )

    def add(total: Array, channel: tuple[Array, Array, Array]) -> tuple[Array, None]:
        query, key, log_decay = channel
        pair = query[..., :, None] * key[..., None, :]
        return total + pair * jnp.exp(exponents(log_decay, bonus is not None)), None

    total = jnp.zeros((batch, heads, length, length), jnp.float32)
    channels = jax.tree.map(lambda x: jnp.moveaxis(x, 2, 0), (query, key, log_decay))
    total, _ = jax.lax.scan(add, total, channels)
    return with_bonus(total, query, key, bonus)


def signed_routing(matrix: Array, key: Array, value: Array) -> Routing:
    """Shares of magnitude, cancellation and norms of a signed matrix.

    Args:
      matrix: ``A [B, H, T, S]``, signed, 0 above the diagonal.
      key: Keys as they enter the score, ``[B, S, H, K]``.
      value: Values ``[B, S, H, V]``.

    Returns:
      The `Routing`.
    """
    weights, cancellation = signed_shares(matrix)
    return Routing(
        weights=weights,
        cancellation=cancellation,
        key_norms=head_norms(key),
        value_norms=head_norms(value),
    )


def normalize_heads(y: Array, epsilon: float, centered: bool) -> Array:
    """Each head's ``[B, T, H, V]`` divided by its RMS, or standardised, float32.

    Without this, undamped sums (brake 0) would grow with the length.
    """
    if centered:
        y = y - jnp.mean(y, axis=-1, keepdims=True)
    return y * jax.lax.rsqrt(jnp.mean(y**2, axis=-1, keepdims=True) + epsilon)
