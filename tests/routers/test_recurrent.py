"""The recurrent routers: contract, published equations, limits, range and memory."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routers.base import Geometry, causal_geometry, neutral_knobs
from routers.contract import QUICK, examine
from routers.gla import GatedLinearAttention, GatedLinearAttentionConfig
from routers.recurrence import pair_weights, read_state, signed_routing
from routers.retention import Retention, RetentionConfig
from routers.rwkv import RWKV4, RWKV4Config
from routers.rwkv6 import RWKV6, RWKV6Config
from tests.routers import recurrent_reference as reference

WIDTH = 8
CASES: dict[str, Any] = {
    "rwkv4": (RWKV4, RWKV4Config(heads=2), reference.rwkv4),
    "rwkv4 unshifted": (RWKV4, RWKV4Config(token_shift=False), reference.rwkv4),
    "retention": (Retention, RetentionConfig(heads=2), reference.retention),
    "retention bare rotary": (
        Retention,
        RetentionConfig(rotary=True, gated=False),
        functools.partial(reference.retention, rotary=True),
    ),
    "gla": (
        GatedLinearAttention,
        GatedLinearAttentionConfig(heads=2, rank=3),
        reference.gla,
    ),
    "gla ungated": (
        GatedLinearAttention,
        GatedLinearAttentionConfig(rank=2, gated=False),
        reference.gla,
    ),
    "rwkv6": (RWKV6, RWKV6Config(heads=2, rank=3), reference.rwkv6),
}
SIGNED = [name for name in CASES if "rwkv4" not in name]
PLAIN = ["rwkv4", "retention", "gla", "rwkv6"]
PROGRAMS: dict[Any, Any] = {}


@functools.cache
def initialize(router: Any) -> Any:
    """Compiled; parameters do not depend on the length, routing's cost does."""
    x = jnp.zeros((1, 2, WIDTH))
    arguments = (x, causal_geometry(2), neutral_knobs(router))
    return jax.jit(lambda key: router.init(key, *arguments))


def build(
    name: str, length: int, seed: int = 0, dtype: Any = jnp.float32, batch: int = 1
) -> Any:
    """A router with all parameters random and large enough to matter, and an input."""
    kind, config, _ = CASES[name]
    config = dataclasses.replace(config, init_scale=0.4, dtype=dtype)
    router = kind(width=WIDTH, config=config)
    x = jax.random.normal(jax.random.key(seed), (batch, length, WIDTH))
    params = initialize(router)(jax.random.key(seed + 1))["params"]
    keys = jax.random.split(jax.random.key(seed + 2), len(params))
    params = {
        name: value + 0.2 * jax.random.normal(key, value.shape)
        for key, (name, value) in zip(keys, params.items(), strict=True)
    }
    return router, params, x


def run(name: str, router: Any, params: Any, x: Any, **changed: Any) -> Any:
    """``(mix, explicit, routing)``, compiled once for each router and length."""

    def both(module: Any, x: Any, knobs: Any) -> Any:
        geometry = causal_geometry(x.shape[1])
        arguments = (module.project(x), geometry, knobs)
        return [f(*arguments) for f in (module.mix, module.explicit, module.route)]

    key = (name, x.shape)
    if key not in PROGRAMS:
        PROGRAMS[key] = jax.jit(
            lambda p, x, k: router.apply({"params": p}, x, k, method=both)
        )
    new = {name: jnp.asarray(value, jnp.float32) for name, value in changed.items()}
    return PROGRAMS[key](params, x, neutral_knobs(router) | new)


def close(found: Any, wanted: Any, tolerance: Any = 1e-5) -> None:
    # Relative to the largest entry: entries are sums whose terms cancel.
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.dtype == np.float32
    assert np.abs(found - wanted).max() <= tolerance * np.abs(wanted).max() + 1e-6


def shares(matrix: Any) -> Any:
    magnitude = np.abs(matrix)
    return magnitude / magnitude.sum(-1, keepdims=True)


# Default settings are examined with all other routers in test_contract.
@pytest.mark.parametrize("name", ["rwkv4 unshifted", "retention bare rotary"])
def test_contract(name: str) -> None:
    kind, config, _ = CASES[name]
    findings = examine(kind(width=WIDTH, config=config), checks=QUICK)
    failed = [f for f in findings if not f.passed]
    assert not failed, failed


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    brake=st.one_of(st.just(0.0), st.floats(1e-4, 60.0)),
    content=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 1000),
)
def test_equals_the_published_recurrence(
    name: str, brake: float, content: float, seed: int
) -> None:
    router, params, x = build(name, length=24, seed=seed)
    mix, explicit, routing = run(name, router, params, x, brake=brake, content=content)
    y, matrix = CASES[name][2](
        params,
        np.asarray(x[0], np.float64),
        router.config.heads,
        brake=brake,
        content=content,
    )
    # Normalised heads whose sums nearly cancel carry the rounding of their terms.
    tolerance = 1e-5 if "rwkv4" in name else 1e-4
    close(mix[0], y, tolerance)
    close(explicit[0], y, tolerance)
    close(routing.weights[0], shares(matrix), 2e-5)
    if name in SIGNED:
        ratio = np.abs(matrix.sum(-1)) / np.abs(matrix).sum(-1)
        close(routing.cancellation[0], ratio, 2e-5)


@pytest.mark.parametrize("name", ["gla", "rwkv6"])
@pytest.mark.parametrize("selectivity", [0.0, 0.4])
def test_selectivity_freezes_the_decay_alone(name: str, selectivity: float) -> None:
    router, params, x = build(name, length=24)
    mix, _, routing = run(name, router, params, x, selectivity=selectivity)
    y, matrix = CASES[name][2](
        params, np.asarray(x[0], np.float64), 2, selectivity=selectivity
    )
    close(mix[0], y, 1e-4)  # as above
    close(routing.weights[0], shares(matrix))


@pytest.mark.parametrize("name", ["gla", "rwkv6", "retention"])
def test_without_content_and_selectivity_only_the_lag_counts(name: str) -> None:
    router, params, x = build(name, length=12)
    frozen = {"selectivity": 0.0} if "selectivity" in router.knobs else {}
    _, _, routing = run(name, router, params, x, content=0.0, **frozen)
    row = np.asarray(routing.weights[0, :, -1])
    for i in range(12):
        wanted = row[:, 11 - i :] / row[:, 11 - i :].sum(-1, keepdims=True)
        close(routing.weights[0, :, i, : i + 1], wanted)


@pytest.mark.parametrize("name", PLAIN)
def test_limits_of_the_brake(name: str) -> None:
    router, params, x = build(name, length=12)
    _, _, routing = run(name, router, params, x, brake=1e5)
    near = np.tril(np.triu(np.ones((12, 12)), -router.reach))
    assert np.abs(np.asarray(routing.weights) * (1 - near)).max() == 0
    _, _, free = run(name, router, params, x, brake=0.0)
    _, matrix = CASES[name][2](params, np.asarray(x[0], float), 2, brake=0.0)
    close(free.weights[0], shares(matrix))
    assert np.asarray(free.weights)[0, :, -1, 0].min() > 0  # nothing is forgotten


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("brake", [0.0, 0.05, 1.0])
def test_accuracy_at_256(name: str, brake: float) -> None:
    router, params, x = build(name, length=256)
    mix, explicit, _ = run(name, router, params, x, brake=brake)
    x = np.asarray(x[0], np.float64)
    y, _ = CASES[name][2](params, x, router.config.heads, brake=brake)
    tolerance = 1e-5 if "rwkv4" in name else 1e-4  # as above
    close(mix[0], y, tolerance)
    close(explicit[0], y, tolerance)


def test_slow_decays_stay_exact_over_4096_steps() -> None:
    steps, gamma = 4096, 1 - 2.0**-12
    one = jnp.ones((1, steps, 1, 1))
    y = read_state(one, one, one, jnp.log1p(-(2.0**-12)) * one)
    wanted = (1 - gamma ** np.arange(1, steps + 1)) / (1 - gamma)
    np.testing.assert_allclose(y[0, :, 0, 0], wanted, rtol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("name", PLAIN)
def test_values_and_gradients_are_finite_at_4096(name: str, dtype: Any) -> None:
    router, params, x = build(name, length=4096, dtype=dtype)

    def loss(params: Any, brake: float, x: Any) -> Any:
        knobs = neutral_knobs(router) | {"brake": brake}

        def mix(module: Any, x: Any) -> Any:
            return module.mix(module.project(x), causal_geometry(4096), knobs)

        y = router.apply({"params": params}, x, method=mix)
        return jnp.square(y.astype(jnp.float32)).mean(), y

    both = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True))
    for brake in (0.0, 1e-3, 1.0, 1e3):
        (_, y), grads = both(params, jnp.float32(brake), x.astype(dtype))
        assert y.dtype == dtype
        for leaf in jax.tree.leaves((y, grads)):
            assert jnp.isfinite(leaf).all(), brake


@pytest.mark.parametrize("name", PLAIN)
def test_memory_of_training_is_linear(name: str) -> None:
    def peak(length: int) -> Any:
        router, params, x = build(name, length)

        def loss(params: Any, x: Any) -> Any:
            def mix(module: Any, x: Any) -> Any:
                geometry = causal_geometry(length)  # [T, T], but never read
                return module.mix(module.project(x), geometry, neutral_knobs(router))

            return jnp.square(router.apply({"params": params}, x, method=mix)).sum()

        compiled = jax.jit(jax.grad(loss)).lower(params, x).compile()
        memory: Any = compiled.memory_analysis()
        return memory.temp_size_in_bytes

    assert peak(2048) < 4.2 * peak(512)


@pytest.mark.parametrize("name", PLAIN)
def test_knobs_per_head_act_on_their_head(name: str) -> None:
    router, params, x = build(name, length=12)
    _, _, both = run(name, router, params, x, brake=[0.2, 3.0])
    for head, brake in enumerate((0.2, 3.0)):
        _, _, one = run(name, router, params, x, brake=brake)
        close(both.weights[:, head], one.weights[:, head])


def test_a_row_that_reads_nothing_reads_itself() -> None:
    nothing = jnp.zeros((1, 3, 1, 2))
    matrix = pair_weights(nothing, nothing, -jnp.ones((1, 3, 1, 2)))
    routing = signed_routing(matrix, nothing, nothing)
    np.testing.assert_array_equal(routing.weights[0, 0], np.eye(3))
    np.testing.assert_array_equal(routing.cancellation, np.ones((1, 1, 3)))


@pytest.mark.parametrize("name", PLAIN)
def test_packed_sequences_are_refused(name: str) -> None:
    router, params, x = build(name, length=6)
    plain = causal_geometry(6)
    packed = Geometry(plain.distance[None], plain.mask[None], "causal")
    with pytest.raises(ValueError, match="packed"):
        router.apply({"params": params}, x, packed, neutral_knobs(router))


@pytest.mark.parametrize("name", PLAIN)
def test_settings_are_validated(name: str) -> None:
    kind, config, _ = CASES[name]
    for wrong in ({"heads": 0}, {"init_scale": 0.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            dataclasses.replace(config, **wrong)
    with pytest.raises(ValueError, match="must divide the model width"):
        router = kind(width=7, config=config)
        x = jnp.zeros((1, 4, 7))
        router.init(jax.random.key(0), x, causal_geometry(4), neutral_knobs(router))
