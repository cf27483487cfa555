"""Training paths in segments and rows: equal to the plain ones, finite, and small."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routers.base import Router, causal_geometry, neutral_knobs
from routers.rwkv import RWKV4, RWKV4Config, continued_means, through_matrices
from routers.rwkv_scan import ROW, no_sums
from routers.segments import scan_segments
from routers.selective_ssm import SelectiveSSM, SelectiveSSMConfig
from sweeps.bench.peers.lax_scan import PLAIN

BOTH: list[Any] = [
    RWKV4(8, config=RWKV4Config(heads=2, init_scale=0.4)),
    SelectiveSSM(8, config=SelectiveSSMConfig(state=4, groups=2, init_scale=0.4)),
]


def by_name(router: Router) -> str:
    return type(router).__name__


def setting(router: Router, length: int, batch: int = 2) -> Any:
    """Parameters, all of them random, and an input."""
    first, second, third = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(first, (batch, length, router.width))
    geometry, knobs = causal_geometry(length), neutral_knobs(router)
    params = jax.jit(router.init)(second, x, geometry, knobs)
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(third, len(leaves))
    noisy = [
        leaf + 0.2 * jax.random.normal(key, leaf.shape)
        for leaf, key in zip(leaves, keys, strict=True)
    ]
    return jax.tree.unflatten(tree, noisy), x


def step_of(router: Router, method: Any) -> Any:
    """Value and gradients by parameters, input and brake of one training path."""

    def loss(params: Any, x: Any, brake: Any) -> Any:
        knobs = neutral_knobs(router) | {"brake": brake}
        geometry = causal_geometry(x.shape[1])
        y: Any = router.apply(params, x, geometry, knobs, method=method)
        return jnp.mean(jnp.sin(3 * y.astype(jnp.float32)))

    return jax.value_and_grad(loss, argnums=(0, 1, 2))


def mix_of_project(module: Any, x: Any, geometry: Any, knobs: Any) -> Any:
    return module.mix(module.project(x), geometry, knobs)


def agree(found: Any, wanted: Any, tolerance: float = 1e-5) -> None:
    # Relative to the largest entry: entries are sums whose terms cancel.
    for ours, theirs in zip(*map(jax.tree.leaves, (found, wanted)), strict=True):
        assert ours.dtype == theirs.dtype
        gap, size = np.abs(ours - theirs).max(), np.abs(theirs).max()
        assert gap <= tolerance * size + 1e-6


def advance(rate: Any, carry: Any, x: Any) -> Any:
    def step(carry: Any, now: Any) -> Any:
        carry = jnp.tanh(rate * carry + now[0]) * now[1][:, None]
        return carry, carry**2

    over_time = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), x)
    carry, y = jax.lax.scan(step, carry, over_time)
    return carry, jnp.moveaxis(y, 0, 1)


@jax.jit
@functools.partial(jax.value_and_grad, argnums=(0, 1, 2))
def whole(rate: Any, carry: Any, x: Any) -> Any:
    return jnp.sum(jnp.sin(advance(rate, carry, x)[1]))


@functools.partial(jax.jit, static_argnums=3)
@functools.partial(jax.value_and_grad, argnums=(0, 1, 2))
def parts(rate: Any, carry: Any, x: Any, segment: int) -> Any:
    return jnp.sum(jnp.sin(scan_segments(advance, rate, carry, x, segment)))


@settings(max_examples=15, deadline=None, derandomize=True)
# Few lengths: each is compiled.
@given(length=st.sampled_from([1, 2, 7, 12, 20]), segment=st.integers(1, 24))
def test_segments_equal_a_scan(length: int, segment: int) -> None:
    first, second = jax.random.split(jax.random.key(length))
    x = (
        jax.random.normal(first, (2, length, 3)),
        jax.random.normal(second, (2, length)),
    )
    arguments = (jnp.asarray([0.5, 1.0, 2.0]), 0.3 * jnp.ones((2, 3)), x)
    agree(parts(*arguments, segment), whole(*arguments))


@jax.jit
@functools.partial(jax.value_and_grad, argnums=(0, 1, 2, 3))
def by_rows(key: Any, value: Any, bonus: Any, decay: Any) -> Any:
    means = continued_means(key, value, bonus, decay, no_sums(2, 6))[0]
    return jnp.sum(jnp.sin(means))


@jax.jit
@functools.partial(jax.value_and_grad, argnums=(0, 1, 2, 3))
def by_matrix(*inputs: Any) -> Any:
    return jnp.sum(jnp.sin(through_matrices(*inputs)[2]))


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    length=st.sampled_from([1, 3, ROW, ROW + 1, 50]),
    brake=st.sampled_from([0.0, 1e-3, 1.0, 1e3]),
    scale=st.sampled_from([1.0, 30.0]),  # of keys: log-weights far apart
    seed=st.integers(0, 100),
)
def test_rows_equal_the_matrix(
    length: int, brake: float, scale: float, seed: int
) -> None:
    keys = jax.random.split(jax.random.key(seed), 4)
    key, value = (jax.random.normal(k, (2, length, 2, 3)) for k in keys[:2])
    bonus, rate = (jax.random.normal(k, (2, 3)) for k in keys[2:])
    inputs = (scale * key, value, bonus, brake * jnp.exp(rate))
    # Exponents of size 30 to 3000 are rounded to 1e-6 to 1e-4 of a weight.
    tolerance = 1e-5 if scale == 1 and brake <= 1 else 5e-4
    agree(by_rows(*inputs), by_matrix(*inputs), tolerance)


@pytest.mark.parametrize("cut", [ROW, 5 * ROW])
def test_a_state_continues_a_sequence(cut: int) -> None:
    keys = jax.random.split(jax.random.key(1), 4)
    key, value = (jax.random.normal(k, (2, 6 * ROW, 1, 3)) for k in keys[:2])
    bonus, decay = (jnp.exp(jax.random.normal(k, (1, 3))) for k in keys[2:])
    start = no_sums(2, 3)

    def whole(*inputs: Any) -> Any:
        return jnp.sum(jnp.sin(continued_means(*inputs, start)[0]))

    def halves(key: Any, value: Any, bonus: Any, decay: Any) -> Any:
        state, total = start, 0.0
        for part in (slice(None, cut), slice(cut, None)):
            y, state = continued_means(
                key[:, part], value[:, part], bonus, decay, state
            )
            total += jnp.sum(jnp.sin(y))
        return total

    inputs = (key, value, bonus, decay)
    found, wanted = (
        jax.jit(jax.value_and_grad(f, (0, 1, 2, 3)))(*inputs) for f in (halves, whole)
    )
    agree(found, wanted)


@pytest.mark.parametrize("router", BOTH, ids=by_name)
@pytest.mark.parametrize("length", [1, 33, 128, 259])
def test_forward_equals_mix_and_the_plain_scan(router: Any, length: int) -> None:
    params, x = setting(router, length)
    arguments = (params, x, jnp.float32(0.7))
    plain = PLAIN[type(router)](router.width, router.config)
    paths = ((router, "forward"), (router, mix_of_project), (plain, "forward"))
    found, mixed, wanted = (jax.jit(step_of(*path))(*arguments) for path in paths)
    agree(found, wanted, 2e-5)  # gradients of weights sum 259 positions
    agree(mixed, wanted, 2e-5)


@pytest.mark.parametrize("router", BOTH, ids=by_name)
def test_a_subclass_mixes_its_own_way_at_every_length(router: Any) -> None:
    kind: Any = type(router)

    class Negated(kind):
        def mix(self, features: Any, geometry: Any, knobs: Any) -> Any:
            return -super().mix(features, geometry, knobs)

    class Renamed(kind):
        pass

    params, x = setting(router, router.segment + 3)
    arguments = (params, x, causal_geometry(x.shape[1]), neutral_knobs(router))
    y, _ = jax.jit(router.apply)(*arguments)
    for subclass, wanted in ((Negated, -y), (Renamed, y)):
        found, _ = jax.jit(subclass(router.width, router.config).apply)(*arguments)
        agree(found, wanted)


@pytest.mark.parametrize("router", BOTH, ids=by_name)
def test_members_side_by_side_equal_one_after_the_other(router: Any) -> None:
    params, x = setting(router, 150)
    brakes = jnp.asarray([0.0, 0.5, 3.0])
    members = jax.tree.map(lambda p: jnp.stack([p, 0.5 * p, 2 * p]), params)
    step = step_of(router, "forward")
    together = jax.jit(jax.vmap(step, in_axes=(0, None, 0)))(members, x, brakes)
    in_turn = jax.jit(
        lambda rows: jax.lax.map(lambda row: step(row[0], x, row[1]), rows)
    )((members, brakes))
    agree(together, in_turn)
    wanted = jax.jit(step)(jax.tree.map(lambda p: p[1], members), x, brakes[1])
    agree(jax.tree.map(lambda leaf: leaf[1], together), wanted)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("router", BOTH, ids=by_name)
def test_values_and_gradients_are_finite_at_4096(router: Any, dtype: Any) -> None:
    router = type(router)(8, config=type(router.config)(dtype=dtype))
    params, _ = setting(router, 8)
    x = jax.random.normal(jax.random.key(3), (1, 4096, 8), dtype)
    step = jax.jit(step_of(router, "forward"))
    for brake in (0.0, 1e-3, 1.0, 1e3):
        outcome = step(params, x, jnp.float32(brake))
        assert outcome[1][1].dtype == dtype
        assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(outcome))


@pytest.mark.parametrize("kind", [RWKV4, SelectiveSSM], ids=lambda k: k.__name__)
def test_memory_is_a_quarter_of_a_plain_scan(kind: Any) -> None:
    def temporary(router: Any) -> int:
        params, _ = setting(router, 8, batch=1)
        x = jnp.zeros((1, 1024, 64))
        step = jax.jit(step_of(router, "forward"))
        memory: Any = step.lower(params, x, jnp.float32(1)).compile().memory_analysis()
        return int(memory.temp_size_in_bytes)

    assert temporary(kind(64)) <= temporary(PLAIN[kind](64)) / 4
