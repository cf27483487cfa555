"""Depth attention: the contract, the equation, and its two distances."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routers.base import neutral_knobs
from routers.depth_attention import DepthAttention, depth_geometry

TOLERANCE: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-6}
ROUTER: Any = DepthAttention(width=8)


def drawn(seed: int = 0) -> dict[str, Any]:
    """Parameters away from their start, where the query would hide everything."""
    one, two = jax.random.split(jax.random.key(seed))
    query = jax.random.normal(one, (8,))
    gain = 1 + 0.3 * jax.random.normal(two, (8,))
    return {"params": {"query": query, "gain": gain}}


def sources(count: int = 5, seed: int = 1, batch: int = 3) -> jax.Array:
    scale = 1.0 + jnp.arange(count)[:, None]
    return scale * jax.random.normal(jax.random.key(seed), (batch, count, 8))


def knobs(**changed: float) -> dict[str, jax.Array]:
    new = {name: jnp.asarray(value, jnp.float32) for name, value in changed.items()}
    return neutral_knobs(ROUTER) | new


@pytest.mark.parametrize("distance", ["steps", "last"])
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"brake": 0.4},
        {"brake": 1.3, "content": 0.5, "null_sink": 1.0},
        {"key_normalization": 0.0, "content": 0.2},
        {"key_normalization": 0.5},
    ],
)
def test_equation(distance: str, changed: dict[str, float]) -> None:
    x, params = sources(), drawn()
    y, routing = ROUTER.apply(params, x, depth_geometry(5, distance), knobs(**changed))
    value = np.asarray(x, np.float64)
    query, gain = (
        np.asarray(params["params"][name], np.float64) for name in ("query", "gain")
    )
    power = changed.get("key_normalization", 1.0)
    rms = np.sqrt(np.mean(value**2, axis=-1, keepdims=True))
    key = value * rms**-power * gain
    back = np.arange(5)[::-1] if distance == "steps" else np.array([1, 1, 1, 1, 0])
    logits = changed.get("content", 1.0) * (key @ query)
    top = np.exp(logits - changed.get("brake", 0.0) * back)
    total = top.sum(-1, keepdims=True) + changed.get("null_sink", 0.0)
    weights = top / total
    np.testing.assert_allclose(routing.weights[:, 0, 0], weights, **TOLERANCE)
    # Sums of sources of norm up to 14 that nearly cancel in places.
    np.testing.assert_allclose(
        y[:, 0], np.einsum("bs,bsd->bd", weights, value), rtol=1e-5, atol=5e-6
    )
    np.testing.assert_allclose(
        routing.key_norms[:, 0], np.linalg.norm(key, axis=-1), **TOLERANCE
    )
    np.testing.assert_allclose(
        routing.value_norms[:, 0], np.linalg.norm(value, axis=-1), **TOLERANCE
    )


def test_routing_starts_uniform() -> None:
    x = sources()
    params = ROUTER.init(jax.random.key(0), x, depth_geometry(5), knobs())
    y, routing = ROUTER.apply(params, x, depth_geometry(5), knobs())
    np.testing.assert_allclose(routing.weights, np.full((3, 1, 1, 5), 0.2), **TOLERANCE)
    np.testing.assert_allclose(y[:, 0], jnp.mean(x, axis=1), **TOLERANCE)


@settings(max_examples=15, deadline=None)
@given(scale=st.floats(1e-2, 1e3))
def test_normed_keys_ignore_the_size_of_a_source(scale: float) -> None:
    x, geometry = sources(), depth_geometry(5)
    grown = x.at[:, 2].multiply(scale)
    _, routing = ROUTER.apply(drawn(), x, geometry, knobs())
    _, other = ROUTER.apply(drawn(), grown, geometry, knobs())
    np.testing.assert_allclose(other.weights, routing.weights, **TOLERANCE)


@settings(max_examples=15, deadline=None)
@given(brake=st.floats(0, 20))
def test_last_distance_is_a_bias_on_the_last_source(brake: float) -> None:
    x = sources()
    _, plain = ROUTER.apply(drawn(), x, depth_geometry(5), knobs())
    _, braked = ROUTER.apply(drawn(), x, depth_geometry(5, "last"), knobs(brake=brake))
    logits = np.log(np.asarray(plain.weights, np.float64))
    logits[..., -1] += brake
    wanted = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(braked.weights, wanted, **TOLERANCE)


@pytest.mark.parametrize("distance", ["steps", "last"])
def test_strong_brake_keeps_the_last_source(distance: str) -> None:
    x = sources()
    y, _ = ROUTER.apply(drawn(), x, depth_geometry(5, distance), knobs(brake=1e4))
    np.testing.assert_allclose(y[:, 0], x[:, -1], **TOLERANCE)


def test_a_knob_may_have_a_head_axis() -> None:
    x, geometry = sources(), depth_geometry(5)
    scalar = knobs(brake=0.3, key_normalization=0.5)
    headed = {name: value[None] for name, value in scalar.items()}
    one, _ = ROUTER.apply(drawn(), x, geometry, scalar)
    two, _ = ROUTER.apply(drawn(), x, geometry, headed)
    np.testing.assert_array_equal(one, two)


def test_distances_by_hand() -> None:
    np.testing.assert_array_equal(depth_geometry(3).distance, [[2, 1, 0]])
    np.testing.assert_array_equal(depth_geometry(3, "last").distance, [[1, 1, 0]])
    np.testing.assert_array_equal(depth_geometry(1, "last").distance, [[0]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "sources=0: must be at least 1"),
        ((3, "first"), "distance='first': must be one of steps, last"),
    ],
)
def test_geometry_names_what_is_wrong(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        depth_geometry(*arguments)
