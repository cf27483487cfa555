"""Every router satisfies the contract, and the contract catches those that do not."""

import functools

import jax
import jax.numpy as jnp
import pytest

from routers import ROUTERS, Attention, AttentionConfig, Geometry
from routers.attention import AttentionFeatures
from routers.base import Array, Knobs, Routing
from routers.contract import CHECKS, examine

CONFIGS = [
    AttentionConfig(heads=2, init_scale=0.5),
    AttentionConfig(heads=3, slopes="alibi", rotary=True, init_scale=0.5),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_attention_fulfils_the_contract(config: AttentionConfig) -> None:
    findings = examine(Attention(width=12, config=config))
    assert {finding.check for finding in findings} == set(CHECKS)
    assert [finding for finding in findings if not finding.passed] == []


@pytest.mark.parametrize("name", sorted(ROUTERS))
def test_every_registered_router_fulfils_the_contract(name: str) -> None:
    router, config = ROUTERS[name]
    failed = [f for f in examine(router(width=16, config=config())) if not f.passed]
    assert failed == []


class LooksAhead(Attention):
    """Forgets the causal mask."""

    def route(
        self, features: AttentionFeatures, geometry: Geometry, knobs: Knobs
    ) -> Routing:
        return super().route(features, _unmasked(geometry), knobs)

    def mix(
        self, features: AttentionFeatures, geometry: Geometry, knobs: Knobs
    ) -> Array:
        return super().mix(features, _unmasked(geometry), knobs)


def _unmasked(geometry: Geometry) -> Geometry:
    return geometry.replace(mask=jnp.ones_like(geometry.mask))


class ConstantBrake(Attention):
    """Reads its brake from Python instead of the knobs."""

    def _weights(
        self, features: AttentionFeatures, geometry: Geometry, knobs: Knobs
    ) -> Array:
        fixed = dict(knobs) | {"brake": jnp.float32(0.3)}
        return super()._weights(features, geometry, fixed)


class OtherMatrix(Attention):
    """Reports a matrix that its fast path does not use."""

    def mix(
        self, features: AttentionFeatures, geometry: Geometry, knobs: Knobs
    ) -> Array:
        return super().mix(features, geometry, dict(knobs) | {"content": 0.9})


class BranchesOnBrake(Attention):
    """Decides in Python on a traced value."""

    def mix(
        self, features: AttentionFeatures, geometry: Geometry, knobs: Knobs
    ) -> Array:
        if knobs["brake"] > 1:
            return features.value.reshape(*features.value.shape[:2], -1)
        return super().mix(features, geometry, knobs)


@functools.cache
def details_of(broken: type[Attention]) -> dict[str, str]:
    config = AttentionConfig(heads=2, init_scale=0.5)
    findings = examine(broken(width=8, config=config))
    return {finding.check: finding.detail for finding in findings}


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (LooksAhead, "ignores_the_future"),
        (ConstantBrake, "brake_matters"),
        (ConstantBrake, "strong_brake_keeps_the_nearest"),
        (OtherMatrix, "mix_equals_explicit"),
        (BranchesOnBrake, "compiles_once"),
        (BranchesOnBrake, "vmap_equals_loop"),
    ],
)
def test_broken_routers_are_caught_with_a_reason(
    broken: type[Attention], check: str
) -> None:
    details = details_of(broken)
    assert details[check]
    assert "\n" not in details[check]


def test_dropped_routing_costs_nothing() -> None:
    """XLA removes the routing matrix's own work when only y is used."""
    router = Attention(width=16, config=AttentionConfig(heads=2))
    x = jnp.ones((2, 32, 16))
    geometry = Geometry(jnp.zeros((32, 32)), jnp.tri(32, dtype=bool), "causal")
    knobs = {name: jnp.float32(knob.neutral) for name, knob in router.knobs.items()}
    params = router.init(jax.random.key(0), x, geometry, knobs)

    def mixed(params: dict, x: Array) -> Array:
        module = router.bind(params)
        return module.mix(module.project(x), geometry, knobs)

    def called(params: dict, x: Array) -> Array:
        return router.apply(params, x, geometry, knobs)[0]

    costs = [
        jax.jit(f).lower(params, x).compile().cost_analysis() for f in (mixed, called)
    ]
    assert costs[0]["flops"] == costs[1]["flops"]
