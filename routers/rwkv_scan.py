"""The recurrence of RWKV-4, in rows that advance side by side, and its gradient.

    y_i = sum_j A_ij v_j,    A_ij = exp(l_ij - L_i),    L_i = log sum_j exp(l_ij)
    l_ij = k_j - w (i - 1 - j)  for j < i,    u + k_i  for j = i       (per channel)

A sequence is folded into rows of `ROW` positions. Each row is summed by itself, the
sums that enter each row are gathered by doubling, and then all rows advance together.
This is the plain recurrence in a few steps of wide vectors instead of T steps of narrow
ones.

The gradient is a recurrence of its own, backwards in time, that needs only y and L::

    dv_j = A_jj g_j + e^{k_j} a_j,     a_j = sum_{i>j} e^{-w (i - 1 - j) - L_i} g_i
    dk_j = A_jj g_j (v_j - y_j) + e^{k_j} (v_j a_j - b_j),         b_j: g_i y_i for g_i
    dw   = -sum_j e^{k_j} (v_j a'_j - b'_j),     a', b': with (i - 1 - j) in the sum

No state of the forward pass is stored or computed again. Sums are kept relative to
their greatest log-weight, so only factors of at most 1 are exponentiated.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from routers.base import Array

ROW = 8
"""Number of positions in a row, a power of 2. On CPU 16 is as fast and 4 is slower."""
EMPTY = -1e30
"""Log-weight of an empty sum. It is finite so that differences are never NaN."""


class PastSums(NamedTuple):
    """Sums over earlier positions, from which y is read.

    Attributes:
      numerator: ``sum_j e^{l_j} v_j``, divided by ``e^top``.
      denominator: ``sum_j e^{l_j}``, divided by ``e^top``; 1 for one position.
      top: Greatest log-weight in the sums.
    """

    numerator: Array
    denominator: Array | float
    top: Array


class FutureSums(NamedTuple):
    """Sums over later positions, from which the gradient is read.

    Attributes:
      a: Weighted sum of ``g_i``, divided by ``e^top``.
      b: Weighted sum of ``g_i y_i``, divided by ``e^top``.
      delayed_a: ``a`` with the factor ``i - 1 - j`` in its sum; 0 for one position.
      delayed_b: ``b`` with the same factor.
      top: Greatest log-weight in the sums.
    """

    a: Array
    b: Array
    delayed_a: Array | float
    delayed_b: Array | float
    top: Array


Sums = TypeVar("Sums", PastSums, FutureSums)

Shift = Callable[[int, Sums], Sums]
"""Function that moves sums by a number of positions."""


def no_sums(batch: int, channels: int) -> PastSums:
    """The sums before any source, each ``[B, D]``."""
    zero = jnp.zeros((batch, channels), jnp.float32)
    return PastSums(zero, zero, zero + EMPTY)


def run_rows(
    key: Array, value: Array, bonus: Array, decay: Array, state: PastSums
) -> tuple[Array, PastSums]:
    """``y`` and the state after the last position.

    Args:
      key: Keys ``[B, T, D]``.
      value: Values ``[B, T, D]``.
      bonus: Bonus u ``[D]``.
      decay: Decay w, including the brake, ``[D]``.
      state: Sums before the first position, each ``[B, D]``; see `no_sums`.

    Returns:
      y, float32 ``[B, T, D]``, and the sums after the last position. The latter are
      valid only where `ROW` divides T or T is less than `ROW`.
    """
    batch, length, channels = key.shape
    padding = [(0, 0), (0, -length % ROW), (0, 0)]

    def fold(x: Array) -> Array:  # [B T / ROW, ROW, D]
        return jnp.pad(x.astype(jnp.float32), padding).reshape(-1, ROW, channels)

    y, state = _rows(fold(key), fold(value), bonus, decay, state)
    return y.reshape(batch, -1, channels)[:, :length], state


@jax.custom_vjp
def _rows(
    key: Array, value: Array, bonus: Array, decay: Array, state: PastSums
) -> tuple[Array, PastSums]:
    y, _, state = _run(key, value, bonus, decay, state)
    return y, state


def _run(
    key: Array, value: Array, bonus: Array, decay: Array, state: PastSums
) -> tuple[Array, Array, PastSums]:
    """Weighted means y and L, both ``[R, ROW, D]``, and the last state ``[B, D]``."""
    rows, row, channels = key.shape
    batch = state.top.shape[0]

    def absorb(place: Array, sums: PastSums) -> PastSums:
        new = PastSums(_at(value, place), 1.0, _at(key, place))
        return _merge(_later(1, sums, decay), new)

    later = partial(_later, decay=decay)
    of_rows = _sum_rows(PastSums(value, jnp.ones_like(key), key), later, reverse=False)
    sums = _enter_rows(of_rows, state, _by_rows(later, row), reverse=False)

    def step(place: Array, loop: tuple[PastSums, Array, Array]) -> Any:
        sums, y, total = loop
        own = PastSums(_at(value, place), 1.0, _at(key, place) + bonus)
        read = _merge(sums, own)
        y = _set_at(y, read.numerator / read.denominator, place)
        total = _set_at(total, read.top + jnp.log(read.denominator), place)
        return absorb(place, sums), y, total

    # The buffers of y and L are overwritten, so their initial content does not matter.
    sums, y, total = jax.lax.fori_loop(0, row, step, (sums, value, key))
    return y, total, _of_row(sums, batch, -1)


def _run_saving(
    key: Array, value: Array, bonus: Array, decay: Array, state: PastSums
) -> tuple[tuple[Array, PastSums], Any]:
    y, total, after = _run(key, value, bonus, decay, state)
    return (y, after), (key, value, bonus, decay, state, y, total, after.top)


def _differentiate(saved: Any, cotangents: Any) -> tuple[Any, ...]:
    key, value, bonus, decay, state, y, total, last = saved
    grad, of_state_after = cotangents
    rows, row, channels = key.shape
    batch = last.shape[0]

    def absorb(sums: FutureSums, grad: Array, y: Array, total: Array) -> FutureSums:
        new = FutureSums(grad, grad * y, 0.0, 0.0, -total)
        return _merge(_earlier(1, sums, decay), new)

    # The final state acts as one more query after the last position.
    none = jnp.zeros_like(last)
    start = FutureSums(
        of_state_after.numerator, -of_state_after.denominator, none, none, -last
    )
    zeros = jnp.zeros((rows, channels), jnp.float32)
    earlier = partial(_earlier, decay=decay)
    nothing = jnp.zeros_like(key)
    queries = FutureSums(grad, grad * y, nothing, nothing, -total)
    of_rows = _sum_rows(queries, earlier, reverse=True)
    sums = _enter_rows(of_rows, start, _by_rows(earlier, row), reverse=True)

    def step(step: Array, loop: Any) -> Any:
        place = row - 1 - step
        sums, dbonus, ddecay, dvalue, dkey = loop
        # Gradients overwrite what no later step reads.
        grad, total = _at(dvalue, place), _at(dkey, place)
        here, v = _at(key, place), _at(value, place)
        past = jnp.exp(here + sums.top)
        own = jnp.exp(here + bonus - total) * grad
        of_own = own * (v - _at(y, place))
        dvalue = _set_at(dvalue, own + past * sums.a, place)
        dkey = _set_at(dkey, of_own + past * (v * sums.a - sums.b), place)
        ddecay = ddecay - past * (v * sums.delayed_a - sums.delayed_b)
        sums = absorb(sums, grad, _at(y, place), total)
        return sums, dbonus + of_own, ddecay, dvalue, dkey

    loop = (sums, zeros, zeros, grad, total)
    sums, dbonus, ddecay, dvalue, dkey = jax.lax.fori_loop(0, row, step, loop)
    # The initial state acts as one more source before the first position.
    after = _of_row(sums, batch, 0)
    share = jnp.exp(state.top + after.top)
    of_state = share * (
        state.numerator * after.delayed_a - state.denominator * after.delayed_b
    )
    ddecay = jnp.sum(ddecay, 0) - jnp.sum(of_state, 0)
    dstate = PastSums(share * after.a, -share * after.b, jnp.zeros_like(state.top))
    return dkey, dvalue, jnp.sum(dbonus, 0), ddecay, dstate


_rows.defvjp(_run_saving, _differentiate)


def _at(x: Array, place: Array) -> Array:
    return jax.lax.dynamic_index_in_dim(x, place, 1, keepdims=False)


def _set_at(whole: Array, part: Array, place: Array) -> Array:
    return jax.lax.dynamic_update_index_in_dim(whole, part, place, 1)


def _later(steps: int, sums: PastSums, decay: Array) -> PastSums:
    """The sums as they count some steps later, when they have decayed."""
    return sums._replace(top=sums.top - steps * decay)


def _earlier(steps: int, sums: FutureSums, decay: Array) -> FutureSums:
    """The sums as they count some steps earlier, where every lag is longer."""
    return sums._replace(
        delayed_a=sums.delayed_a + steps * sums.a,
        delayed_b=sums.delayed_b + steps * sums.b,
        top=sums.top - steps * decay,
    )


def _merge(old: Sums, new: Sums) -> Sums:
    """The sum of both, relative to the greater log-weight; needs one exponential."""
    gap = old.top - new.top
    lesser = jnp.exp(-jnp.abs(gap))
    of_old, of_new = jnp.where(gap > 0, 1.0, lesser), jnp.where(gap > 0, lesser, 1.0)
    sums = (of_old * x + of_new * y for x, y in zip(old[:-1], new[:-1], strict=True))
    return _like(old, sums, jnp.maximum(old.top, new.top))


def _by_rows(shift: Shift[Sums], row: int) -> Shift[Sums]:
    return lambda rows, sums: shift(row * rows, sums)


def _sum_rows(sums: Sums, shift: Shift[Sums], reverse: bool) -> Sums:
    """Sums over each row's positions ``[R, ROW, D]``, at the row's end: ``[R, D]``.

    One half of the positions is moved onto the other half until one position is left.
    If reversed, the sums are those at the row's start.
    """
    while (half := sums.top.shape[1] // 2) > 0:
        first = _slice(sums, slice(None, half))
        second = _slice(sums, slice(half, None))
        far, near = (second, first) if reverse else (first, second)
        sums = _merge(shift(half, far), near)
    return jax.tree.map(lambda x: x[:, 0], sums)


def _enter_rows(sums: Sums, start: Sums, shift: Shift[Sums], reverse: bool) -> Sums:
    """Sums that enter each row ``[R, D]``, from the rows before it and the start.

    Args:
      sums: Sums of every row alone ``[R, D]``, where R is B times the rows of a
        sequence.
      start: Sums that enter each sequence ``[B, D]``.
      shift: Function that moves sums past a number of rows.
      reverse: Whether rows are entered from the last to the first.
    """
    batch, channels = start.top.shape

    def enter(of_rows: Array, start: Array) -> Array:
        by_row = of_rows.reshape(batch, -1, channels)
        if reverse:
            return jnp.append(by_row[:, 1:], start[:, None], 1)
        return jnp.append(start[:, None], by_row[:, :-1], 1)

    sums = jax.tree.map(enter, sums, start)
    rows, distance = sums.top.shape[1], 1
    while distance < rows:  # each pass doubles the rows that each row has summed
        cut = slice(distance, None) if reverse else slice(None, -distance)
        pad = [(0, 0), (0, distance) if reverse else (distance, 0), (0, 0)]
        seen = shift(distance, sums)
        top = jnp.pad(seen.top[:, cut], pad, constant_values=EMPTY)
        reached = (jnp.pad(x, pad) for x in _slice(seen, cut)[:-1])
        sums = _merge(_like(sums, reached, top), sums)
        distance *= 2
    return jax.tree.map(lambda x: x.reshape(-1, channels), sums)


def _like(old: Sums, sums: Iterable[Array], top: Array) -> Sums:
    """Sums of the same type as the old ones."""
    make: Any = type(old)
    return make(*sums, top)


def _slice(sums: Sums, part: slice) -> Sums:
    return jax.tree.map(lambda x: x[:, part], sums)


def _of_row(sums: Sums, batch: int, index: int) -> Sums:
    """One row of every sequence, ``[B, D]``."""
    return jax.tree.map(lambda x: x.reshape(batch, -1, x.shape[-1])[:, index], sums)
