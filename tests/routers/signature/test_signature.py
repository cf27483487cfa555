"""Signature measures against closed forms and independent float64 references."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routers import Geometry, Routing, causal_geometry
from routers.attention import norms_written
from routers.signature import (
    CHANNEL_HUB,
    CHANNEL_SINKS,
    COLLAPSE,
    HUB_KEY,
    HUB_WRITTEN,
    REDUCE,
    VALUE_DRAIN,
    collapse,
    concentration,
    norms,
    signature,
)
from routers.signature.nulls import VARIANTS, variants
from tests.routers.signature import signature_reference as reference


def uniform_causal(length: int) -> np.ndarray:
    return np.tril(np.ones((length, length))) / np.arange(1, length + 1)[:, None]


def test_uniform_causal_routing_has_its_closed_forms() -> None:
    weights = jnp.asarray(uniform_causal(64), jnp.float32)[None]
    importance = concentration.importance(weights, causal_geometry(64).mask)
    harmonic = (1 / np.arange(1, 65)).sum()
    np.testing.assert_allclose(
        concentration.hub_mass(importance), [harmonic / 64], rtol=1e-5
    )
    assert concentration.hub(importance)[0] == 0
    excess = concentration.excess_of_sources(weights, causal_geometry(64).mask)
    np.testing.assert_allclose(excess, np.ones((1, 64)), rtol=1e-5)
    np.testing.assert_allclose(concentration.hhi(weights), [1.93], atol=5e-3)
    longer = jnp.asarray(uniform_causal(256), jnp.float32)[None]
    np.testing.assert_allclose(concentration.hhi(longer), [1.98], atol=5e-3)


def test_a_recency_brake_over_depth_makes_no_hub() -> None:
    mask = np.tril(np.ones((12, 12), bool))
    last = jnp.eye(12)[None, None]  # every reading takes the source just written
    geometry = Geometry(jnp.zeros((12, 12)), jnp.asarray(mask), "depth")
    measures = signature(Routing(weights=last), geometry)
    # 12 in the very last column, which one row sees; below 2 where a hub can be.
    assert measures["concentration/excess"][0] < 2


def test_a_sink_a_diagonal_and_no_reader() -> None:
    eye, sink = np.eye(12), np.zeros((12, 12))
    sink[:, 0] = 1
    weights = jnp.asarray(np.stack([eye, sink]), jnp.float32)
    mask = causal_geometry(12).mask
    importance = concentration.first_half(concentration.importance(weights, mask))
    np.testing.assert_allclose(concentration.hub_mass(importance)[1], 1.0)
    assert concentration.hub_mass(importance)[0] < 0.2
    np.testing.assert_allclose(concentration.hhi(weights), [1.0, 12.0], rtol=1e-6)
    np.testing.assert_array_equal(
        concentration.first_source_sinks(importance), [0.0, 1.0]
    )
    nobody = concentration.importance(weights * 0, jnp.zeros((12, 12), bool))
    np.testing.assert_array_equal(nobody, np.zeros((2, 12)))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31 - 1), rows=st.integers(1, 9), columns=st.integers(1, 9)
)
def test_effective_rank_equals_numpy(seed: int, rows: int, columns: int) -> None:
    x = np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)
    values = np.linalg.svd(x.astype(np.float64), compute_uv=False)
    share = values / values.sum()
    wanted = np.exp(-(share[share > 0] * np.log(share[share > 0])).sum())
    np.testing.assert_allclose(
        collapse.effective_rank(jnp.asarray(x)), wanted, rtol=1e-4
    )


def test_effective_rank_limits() -> None:
    np.testing.assert_allclose(collapse.effective_rank(jnp.eye(7)), 7.0, rtol=1e-5)
    rank_one = jnp.outer(jnp.arange(1.0, 6.0), jnp.ones(4))
    np.testing.assert_allclose(collapse.effective_rank(rank_one), 1.0, rtol=1e-5)
    # Rank-one and full-rank matrices both shrink to zero: it has no rank.
    assert np.isnan(collapse.effective_rank(jnp.zeros((5, 4))))


def test_effective_rank_does_not_batch_under_nested_vmap() -> None:
    x = jax.random.normal(jax.random.key(0), (3, 4, 6, 5))
    nested = jax.vmap(jax.vmap(collapse.effective_rank))(x)
    alone = [[collapse.effective_rank(m) for m in row] for row in x]
    np.testing.assert_allclose(nested, np.asarray(alone), rtol=1e-6)


def test_key_norm_measures() -> None:
    key_norms = jnp.asarray([[2.0, 2.0, 2.0, 2.0], [8.0, 1.0, 1.0, 2.0]])
    np.testing.assert_allclose(
        norms.variation(key_norms), np.std(key_norms, -1) / np.mean(key_norms, -1)
    )
    ratio = norms.hub_log_ratio(key_norms, jnp.asarray([0.0, 0.0]))
    np.testing.assert_allclose(ratio, [0.0, np.log(8 / 1.5)], rtol=1e-6)
    assert np.isnan(norms.hub_log_ratio(jnp.zeros((1, 4)), jnp.zeros(1))).all()
    assert np.isnan(norms.variation(jnp.zeros((1, 4)))).all()


def test_signature_names_are_those_it_can_reduce() -> None:
    weights = jnp.asarray(uniform_causal(12), jnp.float32)[None, None]
    ones, geometry = jnp.ones((1, 1, 12)), causal_geometry(12)
    mass = jnp.ones((1, 1, 3, 12))
    routing = Routing(
        weights,
        key_norms=ones,
        value_norms=ones,
        written_norms=ones,
        channel_mass=mass,
    )
    full = signature(routing, geometry)
    assert set(full) == set(REDUCE) - {COLLAPSE}
    graph = signature(Routing(weights), geometry.replace(kind="graph"))
    assert "concentration/first_source_sinks" not in graph
    assert {value.shape for value in full.values()} == {(1,)}
    least = signature(Routing(weights), geometry)
    assert {name for name in full if name not in least} == {
        CHANNEL_HUB,
        CHANNEL_SINKS,
        "norms/key_norm_cv",
        HUB_KEY,
        VALUE_DRAIN,
        HUB_WRITTEN,
    }


def test_what_the_hub_writes_is_compared_with_the_other_sources() -> None:
    rng = np.random.default_rng(0)
    values, out = rng.normal(size=(12, 3, 4)), rng.normal(size=(12, 12))
    values[0] *= 0.1
    written = norms_written(jnp.asarray(values)[None], jnp.asarray(out))
    wanted = reference.norms_written(values, out)
    np.testing.assert_allclose(written[0], wanted, rtol=1e-5)
    sink = jnp.zeros((1, 3, 12, 12)).at[..., 0].set(1.0)
    found = signature(Routing(sink, written_norms=written), causal_geometry(12))
    ratios = [reference.log_ratio(row, 0, others_only=True) for row in wanted]
    np.testing.assert_allclose(found[HUB_WRITTEN], ratios, rtol=1e-5, atol=1e-5)
    assert max(ratios) < -1


def test_null_variants_change_content_and_brake_only() -> None:
    knobs = {
        name: jnp.asarray(value, jnp.float32)
        for name, value in {
            "token.brake": 0.7,
            "token.content": 1.0,
            "token.null_sink": 0.5,
            "depth.brake": 2.0,
        }.items()
    }
    rows = variants(knobs)
    assert VARIANTS == ("", "uniform", "brake_only")
    np.testing.assert_allclose(rows["token.brake"], [0.7, 0.0, 0.7])
    np.testing.assert_allclose(rows["token.content"], [1.0, 0.0, 0.0])
    np.testing.assert_allclose(rows["token.null_sink"], [0.5, 0.5, 0.5])
    np.testing.assert_allclose(rows["depth.brake"], [2.0, 0.0, 2.0])


@pytest.mark.parametrize("heads", [1, 3])
def test_measures_are_finite_on_full_collapse(heads: int) -> None:
    weights = jnp.zeros((1, heads, 12, 12)).at[..., 0].set(1.0)
    ones = jnp.ones((1, heads, 12))
    values = signature(Routing(weights, key_norms=ones), causal_geometry(12))
    assert all(np.isfinite(value).all() for value in values.values())
