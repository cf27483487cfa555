"""The state-space routers against the contract, a float64 loop, and their limits."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routers.base import Array, Router, causal_geometry, neutral_knobs
from routers.contract import QUICK, examine
from routers.decay import signed_shares
from routers.selective_ssm import SelectiveSSM, SelectiveSSMConfig
from routers.ssd import SSD, SSDConfig
from routers.ssd_scan import ssd_scan
from routers.state_space import factor_means, frozen_at
from tests.routers.state_space_reference import reference_matrix, reference_output

RELATIVE, ABSOLUTE = 1e-5, 1e-6
# Default settings are examined with all other routers in test_contract.
CONTRACT = [
    SelectiveSSM(
        8, config=SelectiveSSMConfig(state=5, groups=4, gated=False, init_scale=0.3)
    ),
    SSD(8, config=SSDConfig(state=8, heads=4, groups=2, conv=1, init_scale=0.3)),
]
# One channel a group, so that a reported row is the row of one matrix.
ONE = SelectiveSSM(
    4, config=SelectiveSSMConfig(state=5, groups=8, step_rank=2, init_scale=0.7)
)
TWO = SSD(4, config=SSDConfig(state=5, heads=4, groups=2, init_scale=0.7))
ROUTERS = [ONE, TWO]
PARTS = ("selectivity_step", "selectivity_write", "selectivity_read")


def knobs_of(router: Router, **changed: Any) -> dict[str, Array]:
    new = {name: jnp.asarray(value, jnp.float32) for name, value in changed.items()}
    return neutral_knobs(router) | new


def setting(router: Router, length: int = 12, seed: int = 0) -> tuple[Any, Array, Any]:
    """Parameters, all of them random, an input and its geometry."""
    first, second, third = jax.random.split(jax.random.key(seed), 3)
    x = jax.random.normal(first, (2, length, router.width))
    geometry = causal_geometry(length)
    params = router.init(second, x, geometry, neutral_knobs(router))
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(third, len(leaves))
    noisy = [
        leaf + 0.3 * jax.random.normal(key, leaf.shape)
        for leaf, key in zip(leaves, keys, strict=True)
    ]
    return jax.tree.unflatten(tree, noisy), x, geometry


def stage(router: Router, name: str, params: Any, x: Array, knobs: Any) -> Any:
    def call(module: Any) -> Any:
        return getattr(module, name)(
            module.project(x), causal_geometry(x.shape[1]), knobs
        )

    return router.apply(params, method=call)


@pytest.mark.parametrize("router", CONTRACT, ids=lambda r: type(r).__name__)
def test_keeps_the_contract(router: Router) -> None:
    findings = examine(router, checks=QUICK)
    assert [finding for finding in findings if not finding.passed] == []


@pytest.mark.parametrize("router", ROUTERS, ids=lambda r: type(r).__name__)
@settings(max_examples=12, deadline=None)
@given(
    brake=st.sampled_from([0.0, 0.3, 1.0, 20.0]),
    content=st.floats(0, 1, width=32),
    selectivity=st.floats(0, 1, width=32),
    parts=st.tuples(*[st.floats(0, 1, width=32)] * 3),
    seed=st.integers(0, 3),
)
def test_equals_the_float64_loop(
    router: Any,
    brake: float,
    content: float,
    selectivity: float,
    parts: tuple[float, ...],
    seed: int,
) -> None:
    knobs = knobs_of(router, brake=brake, content=content, selectivity=selectivity)
    own = zip(PARTS, parts, strict=True)
    knobs |= {name: jnp.float32(value) for name, value in own}
    params, x, _ = setting(router, seed=seed)
    wanted = reference_output(router, params, x, knobs)
    found = stage(router, "mix", params, x, knobs)
    # Absolute against the scale of y: sums of signed terms cancel in single entries.
    limit = ABSOLUTE + RELATIVE * np.abs(wanted).max()
    np.testing.assert_allclose(found, wanted, rtol=RELATIVE, atol=limit)


@pytest.mark.parametrize("brake", [0.0, 1.0, 10.0])
@pytest.mark.parametrize("router", ROUTERS, ids=lambda r: type(r).__name__)
def test_reports_the_normalised_magnitudes(router: Any, brake: float) -> None:
    params, x, _ = setting(router)
    knobs = knobs_of(router, brake=brake)
    matrix, _, _ = reference_matrix(router, params, x, knobs)
    routing = stage(router, "route", params, x, knobs)
    # Channels of one head of Mamba-2 share a matrix: the first stands for all.
    matrix = matrix[:, :: matrix.shape[1] // routing.weights.shape[1]]
    total = np.abs(matrix).sum(-1)
    weights = np.abs(matrix) / total[..., None]
    np.testing.assert_allclose(routing.weights, weights, rtol=1e-4, atol=ABSOLUTE)
    cancelled = np.abs(matrix.sum(-1)) / total
    np.testing.assert_allclose(routing.cancellation, cancelled, rtol=1e-4, atol=1e-5)


def test_groups_average_normalised_channels() -> None:
    params, x, _ = setting(ONE)
    config = SelectiveSSMConfig(state=5, groups=2, step_rank=2, init_scale=0.7)
    coarse = SelectiveSSM(4, config=config)
    knobs = neutral_knobs(ONE)
    fine = stage(ONE, "route", params, x, knobs)
    found = stage(coarse, "route", params, x, knobs)
    for name in ("weights", "cancellation"):
        each = np.asarray(getattr(fine, name))
        averaged = each.reshape(2, 2, 4, *each.shape[2:]).mean(axis=2)
        np.testing.assert_allclose(
            getattr(found, name), averaged, rtol=RELATIVE, atol=ABSOLUTE
        )


@pytest.mark.parametrize("router", ROUTERS, ids=lambda r: type(r).__name__)
def test_without_selectivity_only_the_lag_matters(router: Router) -> None:
    params, x, _ = setting(router)
    frozen = knobs_of(router, selectivity=0.0)
    weights = np.asarray(stage(router, "route", params, x, frozen).weights)
    other = np.asarray(stage(router, "route", params, x[:, ::-1] + 1, frozen).weights)
    np.testing.assert_allclose(weights, other, rtol=RELATIVE, atol=ABSOLUTE)
    to_itself = np.diagonal(weights, axis1=2, axis2=3)[..., None]
    kernel = weights / to_itself  # rows differ by their normaliser alone
    np.testing.assert_allclose(
        kernel[..., 1:, 1:] * (np.tri(11) > 0),
        kernel[..., :-1, :-1],
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("router", ROUTERS, ids=lambda r: type(r).__name__)
def test_a_factor_alone_is_frozen_at_its_mean(router: Any) -> None:
    variables, x, geometry = setting(router)
    features = router.apply(variables, x, method=lambda module, x: module.project(x))
    constants = frozen_at(factor_means(features))
    variables = {"params": variables["params"] | constants}
    for name in ("step", "write", "read"):
        factor = np.asarray(getattr(features, name), np.float64)
        mean = np.broadcast_to(factor.mean((0, 1)), factor.shape)
        substituted = features.replace(**{name: jnp.asarray(mean, jnp.float32)})
        knobs = knobs_of(router, **{f"selectivity_{name}": 0.0})
        mix: Any = functools.partial(router.apply, variables, method="mix")
        found = mix(features, geometry, knobs)
        wanted = mix(substituted, geometry, knobs_of(router))
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("router", ROUTERS, ids=lambda r: type(r).__name__)
def test_limits_of_the_brake(router: Router) -> None:
    params, x, _ = setting(router)
    # Random weights make some Delta tiny, and the limit is one of brake * Delta.
    strong = stage(router, "route", params, x, knobs_of(router, brake=1e25))
    identity = np.broadcast_to(np.eye(12), strong.weights.shape)
    np.testing.assert_allclose(strong.weights, identity, atol=ABSOLUTE)
    alone = stage(router, "route", params, x, knobs_of(router, content=0.0))
    assert (np.diff(np.asarray(alone.weights), axis=-1)[..., -1, :] >= 0).all()
    np.testing.assert_allclose(alone.cancellation, 1.0, rtol=RELATIVE)


@pytest.mark.parametrize("router", ROUTERS, ids=lambda r: type(r).__name__)
@pytest.mark.parametrize("name", ["brake", "content", "selectivity"])
def test_knobs_per_head_act_on_their_head(router: Router, name: str) -> None:
    params, x, _ = setting(router)
    heads = stage(router, "route", params, x, neutral_knobs(router)).weights.shape[1]
    values = jnp.linspace(0.1, 0.9, heads)
    mixed = stage(router, "route", params, x, knobs_of(router, **{name: values}))
    scalars = jax.vmap(
        lambda value: stage(
            router, "route", params, x, knobs_of(router, **{name: value})
        )
    )(values)
    for head in range(heads):
        np.testing.assert_allclose(
            mixed.weights[:, head],
            scalars.weights[head, :, head],
            rtol=RELATIVE,
            atol=ABSOLUTE,
        )


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize(
    "router",
    [SelectiveSSM(4), SSD(4, config=SSDConfig(heads=2))],
    ids=lambda r: type(r).__name__,
)
def test_long_sums_stay_finite(router: Any, dtype: Any) -> None:
    config = type(router.config)(dtype=dtype)
    router = type(router)(4, config=config)
    x = jax.random.normal(jax.random.key(0), (1, 4096, 4), dtype)
    params = router.init(
        jax.random.key(1), x, method=lambda module, x: module.project(x)
    )

    @jax.jit
    @jax.value_and_grad
    def loss(params: Any, brake: Array) -> Array:
        y = stage(router, "mix", params, x, knobs_of(router, brake=brake))
        return jnp.mean(jnp.square(y.astype(jnp.float32)))

    for brake in (0.0, 1e-3, 1.0, 1e3):
        outcome = loss(params, jnp.float32(brake))
        assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(outcome))


def test_chunks_do_not_show() -> None:
    params, x, geometry = setting(TWO, length=150)
    features = TWO.apply(params, x, method=lambda module, x: module.project(x))
    factors = TWO.apply(params, features, neutral_knobs(TWO), method=TWO.factors)
    whole = ssd_scan(factors, features.value, chunk=150)
    for chunk in (1, 7, 64):
        found = ssd_scan(factors, features.value, chunk=chunk)
        np.testing.assert_allclose(found, whole, rtol=1e-4, atol=1e-5)


def test_an_empty_row_falls_back_to_the_diagonal() -> None:
    matrix = jnp.asarray([[0.0, 0.0, 0.0], [1e-30, -3e-30, 0.0], [0.0, 1e-42, 0.0]])
    shares, cancellation = signed_shares(matrix)
    wanted = [[1.0, 0.0, 0.0], [0.25, 0.75, 0.0], [0.0, 0.0, 1.0]]
    np.testing.assert_allclose(shares, wanted, rtol=RELATIVE)
    np.testing.assert_allclose(cancellation, [1.0, 0.5, 1.0], rtol=RELATIVE)


@pytest.mark.parametrize("router", ROUTERS, ids=lambda r: type(r).__name__)
def test_packed_masks_are_refused(router: Router) -> None:
    params, x, geometry = setting(router)
    packed = geometry.replace(mask=jnp.broadcast_to(geometry.mask, (2, 12, 12)))
    with pytest.raises(ValueError, match="packed|one causal"):
        router.apply(params, x, packed, neutral_knobs(router))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SelectiveSSMConfig(state=0), "state=0"),
        (lambda: SSDConfig(heads=3, groups=2), "groups=2"),
        (lambda: SSDConfig(step_limit=(1.0, 0.5)), "step_limit"),
    ],
)
def test_bad_settings_are_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
