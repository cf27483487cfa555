"""The rank ratio against float64, at its limits, and for every router."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routers import ROUTERS, Attention
from routers.base import Router, neutral_knobs
from routers.contract.geometries import GEOMETRIES
from routers.signature.rank_ratio import (
    deal,
    mix,
    mixed_of,
    rank_ratio,
    row_orders,
    why_unmixed,
)
from tests.routers.signature import signature_reference as reference

seeds = st.integers(0, 2**31)


def random_case(seed: int, channels: bool, queries: int = 7) -> tuple[Any, Any, Any]:
    """A random causal matrix, values and a mask."""
    rng = np.random.default_rng(seed)
    mask = np.tri(queries, dtype=bool)
    shape = (5, queries, queries) if channels else (queries, queries)
    matrix = np.where(mask, rng.exponential(size=shape) ** 3, 0)
    matrix = matrix / matrix.sum(-1, keepdims=True)
    values = rng.normal(size=(queries, 5))
    return matrix.astype(np.float32), values.astype(np.float32), mask


def reference_ratio(matrix: Any, values: Any, orders: Any, left_out: int) -> float:
    """The definition, one query and one channel after the other, in float64."""
    channels = values.shape[1]
    full = np.broadcast_to(np.float64(matrix), (channels, *matrix.shape[-2:]))

    def rank(order: Any) -> float:
        rows = [
            [
                sum(
                    full[c, i, order[i, j]] * np.float64(values[j, c])
                    for j in range(len(values))
                )
                for c in range(channels)
            ]
            for i in range(full.shape[1])
            if i != left_out
        ]
        return reference.effective_rank(np.asarray(rows))

    plain = np.tile(np.arange(len(values)), (full.shape[1], 1))
    return rank(plain) / np.median([rank(order) for order in orders])


@pytest.mark.parametrize("channels", [False, True])
@given(seed=seeds)
@settings(max_examples=10, deadline=None)
def test_it_follows_the_definition(channels: bool, seed: int) -> None:
    matrix, values, mask = random_case(seed, channels)
    orders = np.asarray(row_orders(jax.random.key(seed), mask))
    for left_out in (0, 3):
        found = float(rank_ratio(matrix, values, orders, left_out))
        wanted = reference_ratio(matrix, values, orders, left_out)
        assert found == pytest.approx(wanted, rel=1e-5)


@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_every_row_keeps_its_weights_among_its_sources(seed: int) -> None:
    matrix, _, mask = random_case(seed, False)
    orders = np.asarray(row_orders(jax.random.key(seed), mask))
    for order in orders:
        dealt = np.asarray(deal(matrix, order))
        np.testing.assert_array_equal(np.sort(dealt), np.sort(matrix))
        assert (dealt[~mask] == 0).all()
        for row, seen in zip(order, mask, strict=True):
            np.testing.assert_array_equal(np.sort(row), np.arange(len(row)))
            assert set(row[seen]) == set(np.flatnonzero(seen))
    assert len({order.tobytes() for order in orders}) == len(orders)


def test_orders_are_drawn_evenly() -> None:
    """Each of the 6 orders of three sources occurs about equally often."""
    orders = row_orders(jax.random.key(0), jnp.ones((1, 3), bool), draws=6000)
    _, counts = np.unique(np.asarray(orders)[:, 0], axis=0, return_counts=True)
    assert len(counts) == 6
    assert np.abs(counts - 1000).max() < 150


@given(seed=seeds, queries=st.integers(3, 9))
@settings(max_examples=20, deadline=None)
def test_uniform_routing_has_the_ratio_one(seed: int, queries: int) -> None:
    _, values, mask = random_case(seed, False, queries)
    even = (mask / mask.sum(-1, keepdims=True)).astype(np.float32)
    orders = row_orders(jax.random.key(seed), mask)
    assert float(rank_ratio(even, values, orders, 0)) == 1.0


def test_one_visible_source_has_the_ratio_one() -> None:
    _, values, _ = random_case(0, False)
    one = np.eye(7, dtype=np.float32)
    orders = row_orders(jax.random.key(0), one > 0)
    assert float(rank_ratio(one, values, orders, 2)) == 1.0


def test_a_shared_source_lowers_it_and_private_ones_do_not() -> None:
    _, values, mask = random_case(1, False, 40)
    values = np.random.default_rng(0).normal(size=(40, 16)).astype(np.float32)
    even = mask / mask.sum(-1, keepdims=True)
    shared = 0.1 * even
    shared[:, 0] += 0.9
    private = (0.1 * even + 0.9 * np.eye(40)).astype(np.float32)
    orders = row_orders(jax.random.key(0), mask)
    assert rank_ratio(shared.astype(np.float32), values, orders, 0) < 0.7
    assert rank_ratio(private, values, orders, 0) > 0.95


@pytest.mark.parametrize("kind", ["zeros", "rank one", "identical rows"])
def test_degenerate_values(kind: str) -> None:
    matrix, values, mask = random_case(2, False)
    orders = row_orders(jax.random.key(2), mask)
    if kind == "zeros":
        assert np.isnan(rank_ratio(matrix, 0 * values, orders, 0))
        return
    single = values[:1] * (np.ones((7, 1)) if kind == "identical rows" else values)
    single = single[:, :1] * values[:1]
    found = rank_ratio(matrix, single.astype(np.float32), orders, 0)
    assert float(found) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("name", sorted(ROUTERS))
def test_what_every_router_mixes_gives_its_output(name: str) -> None:
    router, config = ROUTERS[name]
    if why_unmixed(router) is not None:
        assert name == "hyper_connections"
        return
    kind = next(iter(sorted(router.kinds)))
    geometry = GEOMETRIES[kind][0](11)
    module = router(width=8, config=config())
    x = jax.random.normal(jax.random.key(1), (2, 11, 8))
    knobs = neutral_knobs(router)
    params = module.init(jax.random.key(0), x, geometry, knobs)

    def compare(module: Router, x: Any) -> tuple[Any, Any]:
        features = module.project(x)
        routing = module.route(features, geometry, knobs)
        mixed = mixed_of(module, features, routing, geometry, knobs)
        y = jax.vmap(jax.vmap(mix))(mixed.matrix, mixed.values)  # [B, H, T, V]
        return y, module.combine(features, module.values(features), geometry, knobs)

    found, wanted = module.apply(params, x, method=compare)
    np.testing.assert_allclose(
        np.moveaxis(found, 1, 2), wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max()
    )


def test_a_router_without_the_steps_has_no_rank_ratio() -> None:
    class Whole(Attention):
        """Defines `mix` alone."""

        roles: ClassVar = {}
        combine = Router.combine

    assert why_unmixed(Whole) == "Whole defines neither combine nor the role value"
    assert why_unmixed(Attention) is None
