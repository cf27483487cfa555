"""Forgetting attention: published equation, limits and range."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routers.attention import Attention, AttentionConfig
from routers.base import causal_geometry, neutral_knobs
from routers.forgetting_attention import ForgettingAttention, ForgettingAttentionConfig

WIDTH = 8


def build(length: int, heads: int = 2, seed: int = 0, dtype: Any = jnp.float32) -> Any:
    config = ForgettingAttentionConfig(heads=heads, init_scale=0.5, dtype=dtype)
    router = ForgettingAttention(width=WIDTH, config=config)
    x = jax.random.normal(jax.random.key(seed), (1, length, WIDTH))
    arguments = (x, causal_geometry(length), neutral_knobs(router))
    params = router.init(jax.random.key(seed + 1), *arguments)["params"]
    bias = jax.random.normal(jax.random.key(seed + 2), (1, heads))
    return router, params | {"forget_bias": bias}, x


def call(router: Any, params: Any, x: Any, **changed: Any) -> Any:
    new = {name: jnp.asarray(value, jnp.float32) for name, value in changed.items()}
    knobs = neutral_knobs(router) | new
    return router.apply({"params": params}, x, causal_geometry(x.shape[1]), knobs)


def published(
    params: Any, x: Any, heads: int, brake: float = 1.0, content: float = 1.0
) -> Any:
    """``(y [T, D], A [H, T, T])`` in float64, one pair at a time."""
    p = {name: np.asarray(value, np.float64) for name, value in params.items()}
    x = np.asarray(x, np.float64)
    length, width = x.shape
    size = width // heads
    flat = x @ p["fused"]
    query, key, value = (
        part.reshape(length, heads, size)
        for part in np.split(flat[:, : 3 * width], 3, axis=1)
    )
    forget = 1 / (1 + np.exp(-(flat[:, 3 * width :] + p["forget_bias"])))
    weights = np.zeros((heads, length, length))
    for h in range(heads):
        for i in range(length):
            for j in range(i + 1):
                score = content * query[i, h] @ key[j, h] / np.sqrt(size)
                kept = np.prod(forget[j + 1 : i + 1, h]) ** brake
                weights[h, i, j] = np.exp(score) * kept
    weights /= weights.sum(-1, keepdims=True)
    mixed = np.einsum("hts,shk->thk", weights, value)
    return mixed.reshape(length, width) @ p["out"], weights


@pytest.mark.parametrize("heads", [1, 2])
@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    brake=st.one_of(st.just(0.0), st.floats(1e-4, 30.0)),
    content=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 1000),
)
def test_equals_the_published_equation(
    heads: int, brake: float, content: float, seed: int
) -> None:
    router, params, x = build(16, heads, seed)
    y, routing = call(router, params, x, brake=brake, content=content)
    wanted, weights = published(params, x[0], heads, brake, content)
    assert y.dtype == routing.weights.dtype == jnp.float32
    # Weights as small as exp(-12) carry the rounding of their exponent, 1e-6 or so.
    np.testing.assert_allclose(routing.weights[0], weights, rtol=1e-5, atol=2e-6)
    assert np.abs(y[0] - wanted).max() < 1e-5 * np.abs(wanted).max()


def test_accuracy_at_256() -> None:
    router, params, x = build(256)
    y, _ = call(router, params, x)
    wanted, _ = published(params, x[0], 2)
    assert np.abs(y[0] - wanted).max() < 1e-5 * np.abs(wanted).max()


def test_without_the_brake_it_is_attention() -> None:
    router, params, x = build(16)
    _, found = call(router, params, x, brake=0.0)
    attention = Attention(width=WIDTH, config=AttentionConfig(heads=2))
    same = {"qkv": params["fused"][:, : 3 * WIDTH], "out": params["out"]}
    _, wanted = call(attention, same, x)
    np.testing.assert_allclose(found.weights, wanted.weights, rtol=1e-5, atol=1e-6)


def test_a_strong_brake_is_the_identity() -> None:
    router, params, x = build(16)
    _, routing = call(router, params, x, brake=1e5)
    eye = np.broadcast_to(np.eye(16), routing.weights.shape)
    np.testing.assert_allclose(routing.weights, eye, rtol=1e-5, atol=1e-6)


def test_constant_gates_are_a_distance() -> None:
    # With no weights on the gates, log f is one number a head: attention's brake.
    router, params, x = build(16)
    params = params | {"fused": params["fused"].at[:, 3 * WIDTH :].set(0.0)}
    log_forget = np.log(1 / (1 + np.exp(-np.asarray(params["forget_bias"][0]))))
    _, found = call(router, params, x)
    attention = Attention(width=WIDTH, config=AttentionConfig(heads=2))
    same = {"qkv": params["fused"][:, : 3 * WIDTH], "out": params["out"]}
    _, wanted = call(attention, same, x, brake=-log_forget)
    np.testing.assert_allclose(found.weights, wanted.weights, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_values_and_gradients_are_finite_at_2048(dtype: Any) -> None:
    # Half of the recurrent routers' length: the matrix here is T^2.
    router, params, x = build(2048, heads=1, dtype=dtype)

    def loss(params: Any, brake: float, x: Any) -> Any:
        y, _ = call(router, params, x, brake=brake)
        return jnp.square(y.astype(jnp.float32)).mean(), y

    both = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True))
    for brake in (0.0, 1e-3, 1.0, 1e3):
        (_, y), grads = both(params, brake, x.astype(dtype))
        assert y.dtype == dtype
        for leaf in jax.tree.leaves((y, grads)):
            assert jnp.isfinite(leaf).all(), brake


def test_settings_are_validated() -> None:
    with pytest.raises(ValueError, match="heads=0"):
        ForgettingAttentionConfig(heads=0)
    with pytest.raises(ValueError, match="init_scale"):
        ForgettingAttentionConfig(init_scale=-1.0)
    with pytest.raises(ValueError, match="must divide the model width"):
        build(4, heads=3)
