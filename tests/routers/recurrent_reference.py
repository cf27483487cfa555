"""NumPy float64 loops of the recurrent routers, from the published equations.

Each takes the parameters, one sequence ``x [T, D]``, H and the knobs, and returns ``y
[T, D]`` by the recurrence and the matrix by products over steps: averaged channel
weights for RWKV-4, signed ``A [H, T, T]`` for the others. The matrix takes T^2 loops
and is left at zero where T exceeds `MATRIX_LENGTH`.
"""

from typing import Any

import numpy as np

MATRIX_LENGTH = 64


def sigmoid(x: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-x))


def float64(params: Any) -> Any:
    return {name: np.asarray(value, np.float64) for name, value in params.items()}


def before(x: Any) -> Any:
    return np.concatenate([np.zeros_like(x[:1]), x[:-1]])


def rwkv4(
    params: Any, x: Any, heads: int, brake: float = 1.0, content: float = 1.0
) -> Any:
    p, (length, width) = float64(params), x.shape
    mix = p["time_mix"].reshape(3, width) if "time_mix" in p else np.ones((3, width))
    shifted = [x * m + before(x) * (1 - m) for m in mix]
    key, value, receptance = (a @ w for a, w in zip(shifted, p["kvr"], strict=True))
    rate = np.exp(-brake * np.exp(p["time_decay"].reshape(-1)))
    bonus = p["time_first"].reshape(-1)
    top = bottom = np.zeros(width)
    read = np.empty_like(x)
    weights = np.zeros((width, length, length))
    for i in range(length):
        own = np.exp(content * (bonus + key[i]))
        read[i] = (top + own * value[i]) / (bottom + own)
        for j in range(i if length <= MATRIX_LENGTH else 0):
            weights[:, i, j] = rate ** (i - 1 - j) * np.exp(content * key[j])
        weights[:, i, i] = own
        top = rate * top + np.exp(content * key[i]) * value[i]
        bottom = rate * bottom + np.exp(content * key[i])
    weights /= weights.sum(-1, keepdims=True)
    groups = weights.reshape(heads, width // heads, length, length).mean(1)
    return (sigmoid(receptance) * read) @ p["out"], groups


def matrix_state(
    query: Any, key: Any, value: Any, decay: Any, bonus: Any = None
) -> Any:
    """``[T, K]`` each, decay a factor; the state is read early with a bonus."""
    length, width = query.shape
    state = np.zeros((width, value.shape[1]))
    read, matrix = np.zeros_like(value), np.zeros((length, length))
    for i in range(length):
        if bonus is None:
            state = decay[i][:, None] * state + np.outer(key[i], value[i])
            read[i] = query[i] @ state
        else:
            now = np.outer(bonus * key[i], value[i])
            read[i] = query[i] @ (state + now)
            state = decay[i][:, None] * state + np.outer(key[i], value[i])
        for j in range(i + 1 if length <= MATRIX_LENGTH else 0):
            last = i + 1 if bonus is None else i
            product = np.prod(decay[j + 1 : last], axis=0)
            if bonus is not None and j == i:
                product = bonus
            matrix[i, j] = np.sum(query[i] * key[j] * product)
    return read, matrix


def per_head(heads: int, columns: Any, one_head: Any) -> Any:
    """Runs ``one_head(h, *columns of that head)`` and joins what it returns."""
    split = [np.split(c, heads, axis=-1) for c in columns]
    pairs = [one_head(h, *(s[h] for s in split)) for h in range(heads)]
    return np.concatenate([r for r, _ in pairs], -1), np.stack([m for _, m in pairs])


def standardize(y: Any, heads: int, epsilon: float, centered: bool) -> Any:
    parts = np.stack(np.split(y, heads, axis=-1))
    if centered:
        parts = parts - parts.mean(-1, keepdims=True)
    parts = parts / np.sqrt((parts**2).mean(-1, keepdims=True) + epsilon)
    return np.concatenate(parts, -1)


def toward(x: Any, content: float, constant: Any) -> Any:
    return content * x + (1 - content) * constant


def swish(x: Any) -> Any:
    return x * sigmoid(x)


def retention(
    params: Any,
    x: Any,
    heads: int,
    brake: float = 1.0,
    content: float = 1.0,
    rotary: bool = False,
) -> Any:
    p, (length, width) = float64(params), x.shape
    flat, size = x @ p["fused"], width // heads
    query, key, value, *gate = np.split(flat, flat.shape[1] // width, axis=-1)

    def turn(z: Any) -> Any:  # as a product of complex numbers
        if not rotary:
            return z
        half = size // 2
        angle = np.outer(np.arange(length), 10000.0 ** (-np.arange(half) / half))
        turned = (z[:, :half] + 1j * z[:, half:]) * np.exp(1j * angle)
        return np.concatenate([turned.real, turned.imag], -1)

    def one_head(h: Any, query: Any, key: Any, value: Any) -> Any:
        query, key = (toward(turn(z), content, size**-0.25) for z in (query, key))
        gamma = (1 - 2.0 ** (-5 - h)) ** brake
        decay = np.full_like(key, gamma)
        return matrix_state(query / np.sqrt(size), key, value, decay)

    read, matrix = per_head(heads, (query, key, value), one_head)
    read = standardize(read, heads, 1e-5, centered=True)
    return (read * swish(gate[0]) if gate else read) @ p["out"], matrix


def gla(
    params: Any,
    x: Any,
    heads: int,
    brake: float = 1.0,
    content: float = 1.0,
    selectivity: float = 1.0,
) -> Any:
    p, (_, width) = float64(params), x.shape
    size, rank = width // heads, p["decay"].shape[0]
    flat = x @ p["fused"]
    low, flat = flat[:, :rank], flat[:, rank:]
    query, key, value, *gate = np.split(flat, flat.shape[1] // width, axis=-1)
    logits = low @ p["decay"] + p["decay_bias"]
    frozen = np.log(sigmoid(p["frozen_decay"].reshape(-1))) / 16
    log_decay = toward(np.log(sigmoid(logits)) / 16, selectivity, frozen)

    def one_head(h: Any, query: Any, key: Any, value: Any, log_decay: Any) -> Any:
        query, key = (toward(z, content, size**-0.25) for z in (query, key))
        decay = np.exp(brake * log_decay)
        return matrix_state(query / np.sqrt(size), key, value, decay)

    read, matrix = per_head(heads, (query, key, value, log_decay), one_head)
    read = standardize(read, heads, 1e-5, centered=False)
    read = read * np.tile(p["norm_gain"], heads)
    return (read * swish(gate[0]) if gate else read) @ p["out"], matrix


def rwkv6(
    params: Any,
    x: Any,
    heads: int,
    brake: float = 1.0,
    content: float = 1.0,
    selectivity: float = 1.0,
) -> Any:
    p, (_, width) = float64(params), x.shape
    size, rank = width // heads, p["decay"].shape[0]
    if "time_mix" in p:
        x = x * p["time_mix"][0, 0] + before(x) * (1 - p["time_mix"][0, 0])
    flat = x @ p["fused"]
    low, flat = np.tanh(flat[:, :rank]), flat[:, rank:]
    query, key, value, gate = np.split(flat, 4, axis=-1)
    rates = -np.exp(low @ p["decay"] + p["decay_bias"])
    frozen = -np.exp(p["frozen_decay"].reshape(-1))
    log_decay = toward(rates, selectivity, frozen)

    def one_head(h: Any, query: Any, key: Any, value: Any, log_decay: Any) -> Any:
        query, key = (toward(z, content, size**-0.5) for z in (query, key))
        bonus = toward(p["time_first"][h], content, 1.0)
        return matrix_state(query, key, value, np.exp(brake * log_decay), bonus)

    read, matrix = per_head(heads, (query, key, value, log_decay), one_head)
    read = standardize(read, heads, 64e-5, centered=True)
    read = read * p["norm_gain"].reshape(-1) + p["norm_bias"].reshape(-1)
    return (read * swish(gate)) @ p["out"], matrix
