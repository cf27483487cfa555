"""The recurrence of RWKV-4, in rows that advance side by side, and its gradient.

    y_i = sum_j A_ij v_j,    A_ij = exp(l_ij - L_i),    L_i = log sum_j exp(l_ij)
    l_ij = k_j - w (i - 1 - j)  for j < i,    u + k_i  for j = i       (per channel)

A sequence is folded into rows of `ROW` positions. Rows are summed each by itself, what
enters a row is gathered by doubling, and then all rows advance together: the plain
recurrence, in a few steps of wide vectors in place of T narrow ones.

The gradient is a recurrence of its own, backwards in time, over y and L alone::

    dv_j = A_jj g_j + e^{k_j} a_j,     a_j = sum_{i>j} e^{-w (i - 1 - j) - L_i} g_i
    dk_j = A_jj g_j (v_j - y_j) + e^{k_j} (v_j a_j - b_j),         b_j: g_i y_i for g_i
    dw   = -sum_j e^{k_j} (v_j a'_j - b'_j),     a', b': with (i - 1 - j) in the sum

No state of the forward pass is stored or computed again. Sums are held relative to
their greatest log-weight; the factor, at most 1, is the only thing exponentiated.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from routers.base import Array

ROW = 8  # positions, a power of 2; on CPU 16 is as fast and 4 slower
EMPTY = -1e30  # log-weight of nothing: finite, so that differences are never NaN

Sums = tuple[Array, ...]
"""Sums and, last, the log-weight that they are relative to."""

Shift = Callable[[int, Sums], Sums]
"""Moves sums by a number of positions."""


def empty_state(batch: int, channels: int) -> Sums:
    """Numerator, denominator and their log-weight before any source, ``[B, D]``."""
    zero = jnp.zeros((batch, channels), jnp.float32)
    return zero, zero, zero + EMPTY


def run_rows(
    key: Array, value: Array, bonus: Array, decay: Array, state: Sums
) -> tuple[Array, Sums]:
    """``y`` and the state after the last position.

    Args:
      key: ``[B, T, D]``.
      value: ``[B, T, D]``.
      bonus: u ``[D]``.
      decay: w, with the brake in it, ``[D]``.
      state: before the first position, see `empty_state`.

    Returns:
      y, float32 ``[B, T, D]``, and the state; the latter holds only where `ROW`
      divides T or T is less than it.
    """
    batch, length, channels = key.shape
    padding = [(0, 0), (0, -length % ROW), (0, 0)]

    def fold(x: Array) -> Array:  # [B T / ROW, ROW, D]
        return jnp.pad(x.astype(jnp.float32), padding).reshape(-1, ROW, channels)

    y, state = _rows(fold(key), fold(value), bonus, decay, state)
    return y.reshape(batch, -1, channels)[:, :length], state


@jax.custom_vjp
def _rows(
    key: Array, value: Array, bonus: Array, decay: Array, state: Sums
) -> tuple[Array, Sums]:
    y, _, state = _forward(key, value, bonus, decay, state)
    return y, state


def _forward(
    key: Array, value: Array, bonus: Array, decay: Array, state: Sums
) -> tuple[Array, Array, Sums]:
    """Weighted means y, L, both ``[R, ROW, D]``, and the last state ``[B, D]``."""
    rows, row, channels = key.shape
    batch = state[0].shape[0]

    def absorb(place: Array, sums: Sums) -> Sums:
        new = (_at(value, place), 1.0, _at(key, place))
        return _merge(_later(1, sums, decay), new)

    later = partial(_later, decay=decay)
    across = _by_rows(later, row)
    of_rows = _sum_rows((value, jnp.ones_like(key), key), later, reverse=False)
    sums = _enter_rows(of_rows, state, across, reverse=False)

    def step(place: Array, loop: tuple[Sums, Array, Array]) -> Any:
        sums, y, total = loop
        own = (_at(value, place), 1.0, _at(key, place) + bonus)
        numerator, denominator, top = _merge(sums, own)
        y = _put(y, numerator / denominator, place)
        total = _put(total, top + jnp.log(denominator), place)
        return absorb(place, sums), y, total

    # The buffers of y and L are overwritten: what is in them does not matter.
    sums, y, total = jax.lax.fori_loop(0, row, step, (sums, value, key))
    return y, total, _of_row(sums, batch, -1)


def _forward_saving(
    key: Array, value: Array, bonus: Array, decay: Array, state: Sums
) -> tuple[tuple[Array, Sums], Any]:
    y, total, after = _forward(key, value, bonus, decay, state)
    return (y, after), (key, value, bonus, decay, state, y, total, after[-1])


def _backward(saved: Any, cotangents: tuple[Array, Sums]) -> tuple[Any, ...]:
    key, value, bonus, decay, state, y, total, last = saved
    grad, (of_numerator, of_denominator, _) = cotangents
    rows, row, channels = key.shape
    batch = last.shape[0]

    def absorb(sums: Sums, grad: Array, y: Array, total: Array) -> Sums:
        return _merge(_earlier(1, sums, decay), (grad, grad * y, 0.0, 0.0, -total))

    # The state that leaves is one more query, after the last position.
    none = jnp.zeros_like(last)
    start: Sums = (of_numerator, -of_denominator, none, none, -last)
    zero = jnp.zeros((rows, channels), jnp.float32)
    earlier = partial(_earlier, decay=decay)
    nothing = jnp.zeros_like(key)
    queries = (grad, grad * y, nothing, nothing, -total)
    across = _by_rows(earlier, row)
    of_rows = _sum_rows(queries, earlier, reverse=True)
    sums = _enter_rows(of_rows, start, across, reverse=True)

    def step(step: Array, loop: Any) -> Any:
        place = row - 1 - step
        sums, dbonus, ddecay, dvalue, dkey = loop
        a, b, delayed_a, delayed_b, top = sums
        # Gradients take the place of what only this step still reads.
        grad, total = _at(dvalue, place), _at(dkey, place)
        here, v = _at(key, place), _at(value, place)
        past = jnp.exp(here + top)
        own = jnp.exp(here + bonus - total) * grad
        of_own = own * (v - _at(y, place))
        dvalue = _put(dvalue, own + past * a, place)
        dkey = _put(dkey, of_own + past * (v * a - b), place)
        ddecay = ddecay - past * (v * delayed_a - delayed_b)
        sums = absorb(sums, grad, _at(y, place), total)
        return sums, dbonus + of_own, ddecay, dvalue, dkey

    loop = (sums, zero, zero, grad, total)
    sums, dbonus, ddecay, dvalue, dkey = jax.lax.fori_loop(0, row, step, loop)
    # The state that came in is one more source, before the first position.
    a, b, delayed_a, delayed_b, top = _of_row(sums, batch, 0)
    numerator, denominator, first = state
    share = jnp.exp(first + top)
    of_state = share * (numerator * delayed_a - denominator * delayed_b)
    ddecay = jnp.sum(ddecay, 0) - jnp.sum(of_state, 0)
    dstate = (share * a, -share * b, jnp.zeros_like(first))
    return dkey, dvalue, jnp.sum(dbonus, 0), ddecay, dstate


_rows.defvjp(_forward_saving, _backward)


def _at(x: Array, place: Array) -> Array:
    return jax.lax.dynamic_index_in_dim(x, place, 1, keepdims=False)


def _put(whole: Array, part: Array, place: Array) -> Array:
    return jax.lax.dynamic_update_index_in_dim(whole, part, place, 1)


def _later(steps: int, sums: Sums, decay: Array) -> Sums:
    """The forward sums as they count some steps later."""
    return *sums[:-1], sums[-1] - steps * decay


def _earlier(steps: int, sums: Sums, decay: Array) -> Sums:
    """The backward sums as they count some steps earlier, where every lag is longer."""
    a, b, delayed_a, delayed_b, top = sums
    return a, b, delayed_a + steps * a, delayed_b + steps * b, top - steps * decay


def _merge(old: Sums, new: tuple[Any, ...]) -> Sums:
    """Both sums, relative to the greater log-weight; one exponential."""
    gap = old[-1] - new[-1]
    lesser = jnp.exp(-jnp.abs(gap))
    of_old, of_new = jnp.where(gap > 0, 1.0, lesser), jnp.where(gap > 0, lesser, 1.0)
    sums = (of_old * x + of_new * y for x, y in zip(old[:-1], new[:-1], strict=True))
    return *sums, jnp.maximum(old[-1], new[-1])


def _by_rows(shift: Shift, row: int) -> Shift:
    return lambda rows, sums: shift(row * rows, sums)


def _sum_rows(sums: Sums, shift: Shift, reverse: bool) -> Sums:
    """Sums of each row's positions ``[R, ROW, D]``, at its end: ``[R, D]``.

    Half of the positions is moved onto the other until one is left. Reversed, the sums
    are those at the row's start.
    """
    while (half := sums[0].shape[1] // 2) > 0:
        first = tuple(x[:, :half] for x in sums)
        second = tuple(x[:, half:] for x in sums)
        far, near = (second, first) if reverse else (first, second)
        sums = _merge(shift(half, far), near)
    return tuple(x[:, 0] for x in sums)


def _enter_rows(sums: Sums, start: Sums, shift: Shift, reverse: bool) -> Sums:
    """What enters each row ``[R, D]``: the rows before it and the sequence's start.

    Args:
      sums: of every row alone ``[R, D]``, R = B times rows of a sequence.
      start: what enters a sequence ``[B, D]``.
      shift: moves sums past a number of rows.
      reverse: from the last row to the first.
    """
    batch, channels = start[-1].shape
    by_row = (x.reshape(batch, -1, channels) for x in sums)
    if reverse:
        pairs = zip(by_row, start, strict=True)
        sums = tuple(jnp.append(x[:, 1:], x0[:, None], 1) for x, x0 in pairs)
    else:
        pairs = zip(by_row, start, strict=True)
        sums = tuple(jnp.append(x0[:, None], x[:, :-1], 1) for x, x0 in pairs)
    rows, distance = sums[0].shape[1], 1
    while distance < rows:  # each pass doubles how far a row has looked
        seen = shift(distance, sums)
        cut = slice(distance, None) if reverse else slice(None, -distance)
        pad = [(0, 0), (0, distance) if reverse else (distance, 0), (0, 0)]
        reached = (jnp.pad(x[:, cut], pad) for x in seen[:-1])
        top = jnp.pad(seen[-1][:, cut], pad, constant_values=EMPTY)
        sums = _merge((*reached, top), sums)
        distance *= 2
    return tuple(x.reshape(-1, channels) for x in sums)


def _of_row(sums: Sums, batch: int, index: int) -> Sums:
    """One row of every sequence, ``[B, D]``."""
    return tuple(x.reshape(batch, -1, x.shape[-1])[:, index] for x in sums)
