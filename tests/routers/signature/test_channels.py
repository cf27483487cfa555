"""The channels of a head one by one: against float64, their bounds, and the memory."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routers import RWKV4, SelectiveSSM
from routers.base import Router, Routing, causal_geometry, neutral_knobs
from routers.rwkv import RWKV4Config
from routers.selective_ssm import SelectiveSSMConfig
from routers.signature import CHANNEL_HUB, CHANNEL_SINKS, signature
from routers.signature.concentration import SINK_THRESHOLD
from tests.routers import recurrent_reference
from tests.routers.signature import signature_reference as reference
from tests.routers.test_selective_ssm import reference_matrix

HUB = "concentration/hub_mass"
KNOBS = [{}, {"brake": 0.0}, {"content": 0.0}, {"brake": 0.0, "content": 0.0}]
"""The network as it is, without a brake, and the nulls made by knobs."""


def matrices(seed: int, channels: int, queries: int) -> np.ndarray:
    """Causal routing ``[V, T, S]`` of every channel, some of them with a hub."""
    rng = np.random.default_rng(seed)
    weights = np.tri(queries) * rng.exponential(size=(channels, queries, queries))
    weights[:, :, 1] *= rng.choice([1, 30], channels)[:, None]
    return weights / weights.sum(-1, keepdims=True)


def measured(weights: np.ndarray) -> dict[str, float]:
    """What `signature` finds for one head with these channels."""
    found = of_head(np.float32(weights.mean(0)), np.float32(weights.sum(-2)))
    return {name: float(value[0]) for name, value in found.items()}


@jax.jit
def of_head(weights: Any, mass: Any) -> dict[str, Any]:
    routing = Routing(weights[None, None], channel_mass=mass[None, None])
    return signature(routing, causal_geometry(weights.shape[-1]))


@given(seed=st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_measures_follow_the_definition(seed: int) -> None:
    weights = matrices(seed, 8, 12)
    hubs = np.asarray([reference.hub_mass(matrix) for matrix in weights])
    found = measured(weights)
    assert found[CHANNEL_HUB] == pytest.approx(hubs.max(), rel=1e-5)
    assert found[CHANNEL_SINKS] == pytest.approx((hubs > SINK_THRESHOLD).mean())
    # The mean over channels never has more than its largest channel.
    assert found[HUB] <= found[CHANNEL_HUB] + 1e-6
    alike = measured(weights[:1].repeat(8, 0))
    assert alike[CHANNEL_HUB] == pytest.approx(alike[HUB], rel=1e-5)
    assert alike[CHANNEL_SINKS] in (0.0, 1.0)
    turned = measured(weights[::-1])
    assert turned[CHANNEL_HUB] == pytest.approx(found[CHANNEL_HUB], rel=1e-6)
    assert turned[CHANNEL_SINKS] == pytest.approx(found[CHANNEL_SINKS])


def test_a_mean_hides_a_hub_that_few_channels_have() -> None:
    weights = np.broadcast_to(np.tri(12) / np.arange(1, 13)[:, None], (8, 12, 12))
    weights = weights.copy()
    weights[5] = np.eye(12)[np.minimum(np.arange(12), 2)]
    found = measured(weights)
    assert found[HUB] < SINK_THRESHOLD
    assert found[CHANNEL_HUB] == 1.0
    assert found[CHANNEL_SINKS] == 1 / 8


def mass_of(router: Router, changed: dict[str, float]) -> tuple[Any, ...]:
    """Parameters, input and knobs, with the mass of every channel ``[B, I, S]``."""
    knobs = {**neutral_knobs(router), **{k: jnp.float32(v) for k, v in changed.items()}}
    geometry = causal_geometry(12)
    x = jax.random.normal(jax.random.key(1), (2, 12, router.width))

    @jax.jit
    def run(knobs: Any) -> Any:
        params = router.init(jax.random.key(0), x, geometry, knobs)
        return params, router.apply(params, x, geometry, knobs)[1]

    params, routing = run(knobs)
    np.testing.assert_allclose(
        routing.channel_mass.mean(2), routing.weights.sum(-2), rtol=1e-5, atol=1e-6
    )
    return params, x, knobs, np.asarray(routing.channel_mass).reshape(2, -1, 12)


@pytest.mark.parametrize("changed", KNOBS)
def test_mamba_reports_the_mass_of_every_channel(changed: dict[str, float]) -> None:
    config = SelectiveSSMConfig(state=5, groups=2, step_rank=2, init_scale=0.7)
    router = SelectiveSSM(4, config=config)
    params, x, knobs, found = mass_of(router, changed)
    matrix, _, _ = reference_matrix(router, params, x, knobs)
    shares = np.abs(matrix) / np.abs(matrix).sum(-1, keepdims=True)
    np.testing.assert_allclose(found, shares.sum(-2), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("changed", KNOBS)
def test_rwkv_reports_the_mass_of_every_channel(changed: dict[str, float]) -> None:
    router = RWKV4(8, config=RWKV4Config(heads=2, init_scale=0.7))
    params, x, _, found = mass_of(router, changed)
    by_loops = [
        # As many heads as channels, so that the mean over a head is one channel.
        recurrent_reference.rwkv4(params["params"], np.float64(one), 8, **changed)[1]
        for one in x
    ]
    np.testing.assert_allclose(found, np.sum(by_loops, -2), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", [RWKV4, SelectiveSSM])
def test_the_matrices_of_all_channels_never_exist_together(make: Any) -> None:
    length, width = 256, 64
    router = make(width=width)
    geometry, knobs = causal_geometry(length), neutral_knobs(router)
    x = jax.ShapeDtypeStruct((1, length, width), jnp.float32)

    def init(x: Any) -> Any:
        return router.init(jax.random.key(0), x, geometry, knobs)

    def measure(params: Any, x: Any) -> Any:
        return signature(router.apply(params, x, geometry, knobs)[1], geometry)

    lowered = jax.jit(measure).lower(jax.eval_shape(init, x), x)
    found: Any = lowered.compile().memory_analysis()
    one_matrix = 4 * length**2
    assert found.temp_size_in_bytes < 10 * one_matrix < width * one_matrix / 6
