"""What signed routers with a matrix state share: the scan, its matrix, the shares.

    S_i = diag(e^{g_i}) S_{i-1} + k_i v_i^T,        y_i = q_i S_i
    A_ij = sum_c q_ic k_jc exp(sum_{m=j+1..i} g_mc)              y_i = sum_j A_ij v_j

with log-decays ``g <= 0`` that already hold the brake. With a bonus ``u`` the state is
read before the step: the sum over m ends at ``i - 1`` and ``A_ii = q_i . (u * k_i)``.

``A`` has signs and its rows do not sum to one. Reported are the shares of magnitude
``|A_ij| / sum_j |A_ij|`` and the cancellation ``|sum_j A_ij| / sum_j |A_ij|``.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from routers.base import Array, Routing, head_norms
from routers.decay import checkpointed_scan, segment_sums, signed_shares


def shift_tokens(x: Array) -> Array:
    """``x [B, T, D]`` one step later; zeros come first."""
    return jnp.pad(x[:, :-1], ((0, 0), (1, 0), (0, 0)))


def decay_ramp(low: float, high: float) -> Callable[..., Array]:
    """Initialiser of log-rates, from low to high across channels as RWKV has them."""

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
      factor: ``[B, T, H, K]``.
      content: c, scalar or ``[H]``.
      constant: with which all products sum to 1 over channels where c = 0.

    Returns:
      float32 ``[B, T, H, K]``.
    """
    content = over_heads(content)
    return content * factor.astype(jnp.float32) + (1.0 - content) * constant


@jax.jit
def read_state(
    query: Array,
    key: Array,
    value: Array,
    log_decay: Array,
    bonus: Array | None = None,
) -> Array:
    """``y_i = sum_j A_ij v_j`` by the recurrence; memory linear in T.

    Args:
      query: ``[B, T, H, K]``, holding the scale of the score.
      key: ``[B, T, H, K]``.
      value: ``[B, T, H, V]``.
      log_decay: ``[B, T, H, K]`` or ``[B, T, H, 1]``, non-positive.
      bonus: ``[1, H, K]``; the state is then read before the step.

    Returns:
      float32 ``[B, T, H, V]``.
    """
    # Slow decays round badly near 1, the same way at each step; their distance from
    # 1 does not: over 4096 steps errors of 1e-6 in place of 4e-5 to 1e-4.
    loss = jnp.expm1(log_decay.astype(jnp.float32))
    xs = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), (query, key, value, loss))
    batch, _, heads, width = key.shape
    state = jnp.zeros((batch, heads, width, value.shape[-1]), jnp.float32)

    def step(state: Array, xs: tuple[Array, ...]) -> tuple[Array, Array]:
        query, key, value, loss = (x.astype(jnp.float32)[..., None] for x in xs)
        update = key * value.swapaxes(-1, -2)  # [B, H, K, V]
        after = state + loss * state + update
        read = after if bonus is None else state + bonus[..., None] * update
        return after, jnp.sum(query * read, axis=-2)

    return jnp.moveaxis(checkpointed_scan(step, state, xs), 0, 1)


@jax.jit
def pair_weights(
    query: Array, key: Array, log_decay: Array, bonus: Array | None = None
) -> Array:
    """The signed matrix ``A [B, H, T, S]``, float32; arguments as in `read_state`.

    One channel of every head at a time: never more than ``[B, H, T, S]``.
    """
    batch, length, heads, _ = key.shape
    channels = jax.tree.map(
        lambda x: jnp.transpose(x.astype(jnp.float32), (3, 0, 2, 1)),  # [K, B, H, T]
        (query, key, jnp.broadcast_to(log_decay, key.shape)),
    )

    def add(total: Array, channel: tuple[Array, Array, Array]) -> tuple[Array, None]:
        query, key, log_decay = channel
        exponent = segment_sums(log_decay)
        if bonus is not None:  # the sum ends one step earlier
            exponent = jnp.roll(exponent, 1, axis=-2)
            exponent = jnp.tril(exponent, -1)
        pair = query[..., :, None] * key[..., None, :]
        return total + pair * jnp.exp(exponent), None

    total = jnp.zeros((batch, heads, length, length), jnp.float32)
    total, _ = jax.lax.scan(add, total, channels)
    if bonus is None:
        return jnp.tril(total)
    own = jnp.einsum("bthk,bthk->bht", query, key * bonus[:, None])
    return jnp.tril(total, -1) + own[..., None] * jnp.eye(length)[None, None]


def signed_routing(matrix: Array, key: Array, value: Array) -> Routing:
    """Shares of magnitude, cancellation and norms of a signed matrix.

    Args:
      matrix: ``A [B, H, T, S]``, signed, 0 above the diagonal.
      key: ``[B, S, H, K]``, as it enters the score.
      value: ``[B, S, H, V]``.

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

    Without it undamped sums (brake 0) would grow with the length.
    """
    if centered:
        y = y - jnp.mean(y, axis=-1, keepdims=True)
    return y * jax.lax.rsqrt(jnp.mean(y**2, axis=-1, keepdims=True) + epsilon)
