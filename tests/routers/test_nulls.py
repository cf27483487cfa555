"""Diagnostic nulls destroy what they say, keep the rest, and say where they cannot."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routers import ROUTERS, Attention, causal_geometry, neutral_knobs
from routers.attention import AttentionFeatures, attention_logits
from routers.base import Router
from routers.signature import concentration
from routers.signature.diagnostic import (
    CHANGES,
    change,
    gaussian_directions,
    random_routing,
    read_role,
    shuffle_directions,
    shuffle_norms,
    shuffle_sources,
    undefined,
)
from routers.signature.nulls import POST_HOC, diagnostic_variants
from routers.softmax import masked_softmax
from train.tasks.graphs import hop_distances
from train.tasks.rewiring import rewire, swap_edges


def lengths(x: Any) -> np.ndarray:
    return np.linalg.norm(np.asarray(x), axis=-1)


def directions(x: Any) -> np.ndarray:
    return np.asarray(x) / lengths(x)[..., None]


def order_of(moved: np.ndarray, x: np.ndarray) -> list[int]:
    """Which source each one came from, by nearest match."""
    gap = np.abs(moved[0][:, None] - x[0][None]).max(tuple(range(2, x.ndim)))
    assert (gap.min(1) < 1e-5).all()
    return gap.argmin(1).tolist()


def test_each_shuffle_moves_what_it_names_and_nothing_else() -> None:
    x = jax.random.normal(jax.random.key(0), (2, 9, 3, 4))
    key = jax.random.key(1)
    joint = np.asarray(shuffle_sources(key, x))
    order = order_of(joint, np.asarray(x))
    assert sorted(order) == list(range(9)) != order
    np.testing.assert_allclose(joint, np.asarray(x)[:, order])
    norms = shuffle_norms(key, x)
    np.testing.assert_allclose(directions(norms), directions(x), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(lengths(norms), lengths(x)[:, order], rtol=1e-5)
    turned = shuffle_directions(key, x)
    np.testing.assert_allclose(lengths(turned), lengths(x), rtol=1e-5)
    wanted = directions(x)[:, order]
    np.testing.assert_allclose(directions(turned), wanted, rtol=1e-4, atol=1e-6)


def test_gaussian_keys_keep_norms_only() -> None:
    x = 5 + jax.random.normal(jax.random.key(0), (1, 400, 1, 8))
    drawn = gaussian_directions(jax.random.key(1), x)
    np.testing.assert_allclose(lengths(drawn), lengths(x), rtol=1e-5)
    assert np.abs(directions(drawn).mean((0, 1, 2))).max() < 0.1  # sd .018
    assert directions(x).mean((0, 1, 2)).min() > 0.3
    zero = gaussian_directions(jax.random.key(1), jnp.zeros((1, 3, 1, 4)))
    np.testing.assert_array_equal(zero, np.zeros((1, 3, 1, 4)))


def test_a_dominant_key_makes_a_hub_wherever_it_is_shuffled_to() -> None:
    length = 32
    one = jnp.ones((1, length, 1, 8))
    features = AttentionFeatures(one, 0.1 * one.at[:, 3].mul(100.0), one)
    geometry = causal_geometry(length)
    knobs, no_sink = neutral_knobs(Attention), jnp.zeros((1, 1, 1, 1))
    found = set()
    for seed in range(8):
        moved = change("shuffled_keys", Attention.roles, features, jax.random.key(seed))
        logits = attention_logits(moved, geometry, jnp.ones(1), knobs)
        weights = masked_softmax(logits, geometry.mask[None, None], no_sink)[0]
        alpha = concentration.importance(weights, geometry.mask)
        place = int(np.argmax(lengths(moved.key)[0, :, 0]))
        assert int(concentration.hub(alpha)[0]) == place
        assert float(concentration.hub_mass(alpha)[0]) > 0.9
        found.add(place)
    assert len(found) > 3


@pytest.mark.parametrize("name", ROUTERS)
def test_every_null_is_built_or_says_why_not(name: str) -> None:
    router, _ = ROUTERS[name]
    kind = sorted(router.kinds)[0]
    variants, absent = diagnostic_variants(router, kind, "no member at 0")
    built = {variant.name.split("_")[0] for variant in variants}
    assert absent[POST_HOC] == "no member at 0"
    for null in CHANGES:
        assert (null in {v.name for v in variants}) != (null in absent)
    assert all(len(reason) > 8 for reason in absent.values())
    assert {"", "uniform", "brake", "untrained"} <= built
    assert ("rewired" in built) == (kind == "graph")
    assert ("iid" in built) == (kind in ("causal", "graph"))


def test_reasons_name_the_router() -> None:
    assert undefined(ROUTERS["rwkv4"][0], "shuffled_keys") is None
    reason = undefined(ROUTERS["rwkv4"][0], "shuffled_key_norms")
    assert (
        reason == "RWKV4: a key is one number per channel, without norm and direction"
    )
    assert undefined(ROUTERS["ssd"][0], "shuffled_keys") == "SSD has no keys"
    reason = undefined(ROUTERS["gla"][0], "permuted_depth")
    assert reason == "GatedLinearAttention does not route over depth"


@pytest.mark.parametrize("name", [n for n, (r, _) in ROUTERS.items() if r.roles])
def test_changes_reach_the_features_of_every_router(name: str) -> None:
    kind, settings_type = ROUTERS[name]
    router: Router = kind(8, settings_type())
    x = jax.random.normal(jax.random.key(0), (2, 6, 8))
    features, _ = router.init_with_output(jax.random.key(1), x, method="project")
    for null in CHANGES:
        if undefined(kind, null) is not None:
            continue
        changed = change(null, kind.roles, features, jax.random.key(2))
        same = jax.tree.map(
            lambda a, b: (a.shape, a.dtype) == (b.shape, b.dtype), changed, features
        )
        assert jax.tree.all(same)
        touched = {
            role: not np.array_equal(
                read_role(changed, path), read_role(features, path)
            )
            for role, path in kind.roles.items()
        }
        acted_on = {kind.roles[role] for role in CHANGES[null][1] if role in kind.roles}
        wanted = {role: path in acted_on for role, path in kind.roles.items()}
        assert touched == wanted


def test_random_logits_ignore_the_mask_nowhere() -> None:
    mask = causal_geometry(12).mask
    weights = random_routing(jax.random.key(0), mask, 3, jnp.float32(4))
    np.testing.assert_allclose(weights.sum(-1), 1.0, rtol=1e-5)
    assert not np.asarray(weights)[:, ~np.asarray(mask)].any()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), nodes=st.integers(2, 25))
def test_rewiring_keeps_every_degree(seed: int, nodes: int) -> None:
    generator = np.random.default_rng(seed)
    adjacency = np.triu(generator.random((nodes, nodes)) < 0.3, 1)
    adjacency |= adjacency.T
    swapped = swap_edges(adjacency, generator)
    np.testing.assert_array_equal(swapped.sum(0), adjacency.sum(0))
    np.testing.assert_array_equal(swapped, swapped.T)
    assert not np.diag(swapped).any()


def test_rewiring_mixes_and_keeps_the_reach() -> None:
    ring = np.roll(np.eye(60, dtype=bool), 1, 1)
    geometry = hop_distances(ring | ring.T, 2)
    found = rewire(geometry, seed=0)
    kept = np.asarray(found.mask & (found.distance == 1))[ring].mean()
    assert kept < 0.3
    assert float(found.distance[found.mask].max()) == 2
    np.testing.assert_array_equal(rewire(geometry, seed=0).distance, found.distance)
