"""Measures of the residual stream: limits, invariances and the effect of one row."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routers.signature.full import stream_signature

ENTROPY, MASSIVE = "stream/matrix_entropy", "stream/massive_activation"
FEATURE, NEGATIVE = "stream/hub_feature_norm", "stream/hub_negative_aware_norm"
LENGTH, WIDTH = 9, 6
compiled = jax.jit(stream_signature)


def random_stream(seed: int, depths: int = 3) -> np.ndarray:
    shape = (depths, LENGTH, WIDTH)
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), scale=st.sampled_from([1e-3, 1.0, 1e3]))
def test_order_scale_and_basis_of_the_stream_do_not_matter(
    seed: int, scale: float
) -> None:
    generator, stream = np.random.default_rng(seed), random_stream(seed)
    hub = generator.integers(LENGTH, size=(2, 2))
    order = generator.permutation(LENGTH)
    rotation = np.linalg.qr(generator.normal(size=(WIDTH, WIDTH)))[0]
    plain = compiled(stream, jnp.asarray(hub, jnp.float32))
    moved = jnp.asarray(np.argsort(order)[hub], jnp.float32)
    permuted = compiled(scale * stream[:, order], moved)
    for name, value in plain.items():
        np.testing.assert_allclose(permuted[name], value, rtol=1e-4, atol=1e-5)
    rotated = compiled(jnp.asarray(stream @ rotation, jnp.float32), moved)
    np.testing.assert_allclose(rotated[ENTROPY], plain[ENTROPY], rtol=1e-4)
    assert (plain[ENTROPY] >= 0).all()
    assert (plain[ENTROPY] <= np.log(WIDTH) + 1e-5).all()


def test_one_massive_row_shows_in_every_measure_at_its_depth_alone() -> None:
    stream = random_stream(0, depths=4)
    hub = jnp.asarray([[2.0], [2.0], [5.0]])
    plain = compiled(stream, hub)
    factor = np.ones_like(stream)
    factor[3, 5] = 100  # in the last stream, compared with the hub of the last router
    found = compiled(stream * factor, hub)
    for name, value in found.items():
        np.testing.assert_array_equal(value[:3], plain[name][:3])
    assert found[MASSIVE][3, 0] > 10 * plain[MASSIVE][3, 0]
    assert found[ENTROPY][3, 0] < 0.1 < plain[ENTROPY][3, 0]
    for name in (FEATURE, NEGATIVE):
        gained = found[name][3, 0] - plain[name][3, 0]
        np.testing.assert_allclose(gained, np.log(100), rtol=1e-4)


def test_closed_forms_of_the_matrix_entropy() -> None:
    eye = jnp.pad(jnp.eye(WIDTH), ((0, LENGTH - WIDTH), (0, 0)))
    equal, zero = jnp.ones((LENGTH, WIDTH)), jnp.zeros((LENGTH, WIDTH))
    found = compiled(jnp.stack([eye, equal, zero]))[ENTROPY][:, 0]
    np.testing.assert_allclose(found, [np.log(WIDTH), 0.0, np.nan], atol=1e-6)


@pytest.mark.parametrize("positions", [True, False])
def test_a_stream_that_was_not_mixed_by_the_routing_is_nan(positions: bool) -> None:
    hub = jnp.zeros((2, 3)) if positions else None
    found = compiled(random_stream(1), hub, jnp.asarray(False))
    assert set(found) == {ENTROPY, MASSIVE} | (
        {FEATURE, NEGATIVE} if positions else set()
    )
    for name, value in found.items():
        assert value.shape == (3, 3 if name in (FEATURE, NEGATIVE) else 1)
        assert np.isnan(value).all()
