"""Every router satisfies the contract. Wrong ones: `tests/routers/contract`."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from routers import ROUTERS, Attention, AttentionConfig, Geometry
from routers.attention import by_output_matrix
from routers.base import Array, Knobs, Router
from routers.contract import CHECKS, DECLARATIONS, QUICK, examine

CONFIGS = [
    AttentionConfig(init_scale=0.5),
    AttentionConfig(heads=3, slopes="alibi", rotary=True, init_scale=0.5),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_attention_fulfils_the_contract(config: AttentionConfig) -> None:
    findings = examine(Attention(width=12, config=config))
    assert {f.check for f in findings} == {*DECLARATIONS, *CHECKS}
    assert [f for f in findings if not f.passed or f.unchecked] == []


@pytest.mark.parametrize("name", sorted(ROUTERS))
def test_every_registered_router_fulfils_the_contract(name: str) -> None:
    router, config = ROUTERS[name]
    small = {"heads": 2, "groups": 2, "state": 4}
    settings = {n: size for n, size in small.items() if hasattr(config(), n)}
    findings = examine(router(width=8, config=config(**settings)))
    assert [f for f in findings if not f.passed or f.unchecked] == []


class OldStyle(Attention):
    """Written before the fast path had steps: it defines mix and explicit alone."""

    combine = Router.combine
    finish = Router.finish

    def mix(self, features: Any, geometry: Geometry, knobs: Knobs) -> Array:
        return self.explicit(features, geometry, knobs)

    def explicit(self, features: Any, geometry: Geometry, knobs: Knobs) -> Array:
        weights = self.route(features, geometry, knobs).weights
        mixed = jnp.einsum("bhts,bshk->bthk", weights, features.value)
        return by_output_matrix(mixed, self.out)


def test_a_router_without_the_steps_is_told_what_could_not_be_checked() -> None:
    findings = examine(OldStyle(width=8), checks=QUICK)
    assert all(finding.passed for finding in findings)
    (told,) = [finding.unchecked for finding in findings if finding.unchecked]
    assert "the weights that mix applies could not be measured" in told
    assert "compared with explicit" in told


class BranchesOnBrake(Attention):
    """Decides in Python on a traced value."""

    def combine(self, features: Any, values: Array, geometry: Any, knobs: Any) -> Array:
        if knobs["brake"] > 1:
            return values
        return super().combine(features, values, geometry, knobs)


def test_a_python_branch_on_a_knob_is_named() -> None:
    checks = ("compiles_once", "vmap_equals_loop")
    findings = examine(BranchesOnBrake(width=8), checks=checks)
    details = {finding.check: finding.detail for finding in findings}
    assert "Python branches on a knob" in details["compiles_once"]
    assert details["vmap_equals_loop"]
    assert not any("\n" in detail for detail in details.values())


class Fails(Attention):
    """Raises in a stage."""

    def project(self, x: Array) -> Any:
        raise RuntimeError("no such " + "luck " * 100)


def test_an_error_is_told_once_with_its_line() -> None:
    (*_, found) = examine(Fails(width=8))
    assert found.check == "can_be_initialised"
    assert found.detail.startswith("RuntimeError: no such luck luck")
    assert re.search(
        r"luck \.\.\. \(test_contract\.py:\d+, in project\)$", found.detail
    )


def test_details_that_repeat_are_told_once() -> None:
    findings = examine(BranchesOnBrake(width=8))
    details = [f.detail for f in findings if f.detail]
    told = [d for d in details if not d.startswith("the same as in ")]
    assert len(told) == len(set(told))
    assert len(told) < len(details)


class SmallDecay(Attention):
    """The brake multiplies a decay that is small, as learned ones may be."""

    def route(self, features: Any, geometry: Any, knobs: Any) -> Any:
        small = dict(knobs) | {"brake": 3e-5 * knobs["brake"]}
        return super().route(features, geometry, small)

    def combine(self, features: Any, values: Array, geometry: Any, knobs: Any) -> Array:
        small = dict(knobs) | {"brake": 3e-5 * knobs["brake"]}
        return super().combine(features, values, geometry, small)


class ForgetsLate(Attention):
    """The fast path forgets what came before position 200."""

    def combine(self, features: Any, values: Array, geometry: Any, knobs: Any) -> Array:
        block = jnp.arange(geometry.mask.shape[-1]) // 200
        mask = geometry.mask & (block[:, None] == block[None])
        return super().combine(features, values, geometry.replace(mask=mask), knobs)


def test_a_brake_on_a_small_decay_is_strong_later() -> None:
    checks = ("strong_brake_keeps_the_nearest",)
    assert all(f.passed for f in examine(SmallDecay(width=8), checks=checks))


def test_a_fault_beyond_the_usual_length_needs_that_length() -> None:
    checks = ("mixes_what_it_reports",)
    assert all(f.passed for f in examine(ForgetsLate(width=8), checks=checks))
    *_, found = examine(ForgetsLate(width=8), checks=checks, longest=256)
    assert "query 2" in found.detail


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
