"""Hyper-connections: the contract, Sinkhorn, and that a hub is impossible."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routers.base import neutral_knobs
from routers.contract import examine
from routers.hyper_connections import (
    HyperConnections,
    HyperConnectionsConfig,
    sinkhorn,
    stream_geometry,
)

TOLERANCE: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-6}
STATIC: Any = HyperConnections(width=6)
DYNAMIC: Any = HyperConnections(width=6, config=HyperConnectionsConfig(dynamic=True))


def streams(count: int = 5, batch: int = 3) -> jax.Array:
    return jax.random.normal(jax.random.key(1), (batch, count, 6))


def drawn(router: Any, count: int = 5, scale: float = 0.7) -> Any:
    """Parameters away from their start, where the dynamic part would be zero."""
    one, two = jax.random.split(jax.random.key(0))
    params = {"content": scale * jax.random.normal(one, (count, count))}
    if router.config.dynamic:
        params["dynamic"] = 0.3 * jax.random.normal(two, (6, count * count))
    return {"params": params}


def knobs(**changed: float) -> dict[str, jax.Array]:
    new = {name: jnp.asarray(value, jnp.float32) for name, value in changed.items()}
    return neutral_knobs(STATIC) | new


def matrix(router: Any, params: Any, x: Any, knobs: Any) -> np.ndarray:
    geometry = stream_geometry(x.shape[1])

    def read(module: Any, x: Any) -> Any:
        return module.matrix(module.project(x), geometry, knobs)

    return np.asarray(router.apply(params, x, method=read))


def test_contract_with_a_dynamic_part() -> None:
    failed = [finding for finding in examine(DYNAMIC) if not finding.passed]
    assert not failed, failed


@pytest.mark.parametrize("router", [STATIC, DYNAMIC], ids=["static", "dynamic"])
@pytest.mark.parametrize(("brake", "content"), [(0.0, 1.0), (0.8, 1.0), (2.0, 0.4)])
def test_equation(router: Any, brake: float, content: float) -> None:
    x, params = streams(), drawn(router)
    values = {k: np.asarray(v, np.float64) for k, v in params["params"].items()}
    y, routing = router.apply(
        params, x, stream_geometry(5), knobs(brake=brake, content=content)
    )
    for unit, state in enumerate(np.asarray(x, np.float64)):
        score = values["content"]
        if router.config.dynamic:
            mean = state.mean(0)
            normed = mean / np.sqrt(np.mean(mean**2))
            score = score + (normed @ values["dynamic"]).reshape(5, 5)
        wanted = np.exp(content * score + brake * np.eye(5))
        for _ in range(router.config.iterations):
            wanted /= wanted.sum(1, keepdims=True)
            wanted /= wanted.sum(0, keepdims=True)
        np.testing.assert_allclose(y[unit], wanted @ state, **TOLERANCE)
        rows = wanted / wanted.sum(1, keepdims=True)
        np.testing.assert_allclose(routing.weights[unit, 0], rows, **TOLERANCE)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(0, 30), brake=st.floats(0, 50))
def test_a_hub_is_impossible(seed: int, scale: float, brake: float) -> None:
    score = scale * jax.random.normal(jax.random.key(seed), (5, 5))
    mixing = sinkhorn(score + brake * jnp.eye(5), 20)
    column_mass = np.mean(mixing, axis=0)
    np.testing.assert_allclose(column_mass, np.full(5, 0.2, np.float32), **TOLERANCE)


def test_a_router_with_a_hub_in_its_scores_has_none_in_its_mass() -> None:
    params = {"params": {"content": jnp.zeros((5, 5)).at[:, 2].set(20.0)}}
    x = streams()
    np.testing.assert_allclose(
        matrix(STATIC, params, x, knobs())[0, 0].mean(0), np.full(5, 0.2), **TOLERANCE
    )
    _, routing = STATIC.apply(params, x, stream_geometry(5), knobs())
    np.testing.assert_allclose(
        routing.weights.mean((0, 1, 2)), np.full(5, 0.2), **TOLERANCE
    )


def test_mixing_keeps_the_sum_of_the_streams() -> None:
    x = streams()
    y, _ = DYNAMIC.apply(drawn(DYNAMIC), x, stream_geometry(5), knobs(content=5.0))
    np.testing.assert_allclose(y.sum(1), x.sum(1), **TOLERANCE)


def test_rows_converge_with_iterations() -> None:
    score = 1.5 * jax.random.normal(jax.random.key(0), (5, 5))
    gaps = [float(jnp.abs(sinkhorn(score, n).sum(1) - 1).max()) for n in (1, 5, 60)]
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 1e-5


def test_strong_brake_is_the_identity() -> None:
    x = streams()
    y, _ = DYNAMIC.apply(drawn(DYNAMIC), x, stream_geometry(5), knobs(brake=1e4))
    np.testing.assert_allclose(y, x, **TOLERANCE)


def test_the_dynamic_part_starts_at_zero() -> None:
    x = streams()
    params = DYNAMIC.init(jax.random.key(0), x, stream_geometry(5), knobs())
    static = {"params": {"content": params["params"]["content"]}}
    one, _ = DYNAMIC.apply(params, x, stream_geometry(5), knobs())
    two, _ = STATIC.apply(static, x, stream_geometry(5), knobs())
    np.testing.assert_allclose(one, two, **TOLERANCE)


def test_a_masked_pair_never_mixes_and_gradients_stay_finite() -> None:
    x = streams()
    geometry = stream_geometry(5)
    geometry = geometry.replace(mask=geometry.mask.at[0, 3].set(False))

    def loss(params: Any) -> tuple[Any, Any]:
        y, routing = STATIC.apply(params, x, geometry, knobs())
        return jnp.sum(y**2), routing.weights

    grads, weights = jax.grad(loss, has_aux=True)(drawn(STATIC))
    assert float(weights[:, 0, 0, 3].max()) == 0
    assert jnp.isfinite(grads["params"]["content"]).all()


def test_too_few_streams_and_iterations_are_named() -> None:
    with pytest.raises(ValueError, match="streams=3: must be at least 4"):
        stream_geometry(3)
    with pytest.raises(ValueError, match="streams=2: must be at least 4"):
        STATIC.apply({"params": {}}, streams(2), method=STATIC.project)
    with pytest.raises(ValueError, match="iterations=0: must be at least 1"):
        HyperConnectionsConfig(iterations=0)
