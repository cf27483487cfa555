"""Values that are known in advance: closed forms, and figures of simple ensembles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routers import causal_geometry
from routers.signature import concentration, contribution, norms
from routers.signature.diagnostic import gaussian_directions, random_routing


def uniform(length: int) -> jax.Array:
    mask = causal_geometry(length).mask
    return (mask / jnp.sum(mask, -1, keepdims=True))[None]


@pytest.mark.parametrize(
    ("length", "first", "gini", "hhi"),
    [(64, 0.0741, 0.492, 1.93), (256, 0.0239, 0.498, 1.98)],
)
def test_uniform_causal_routing(
    length: int, first: float, gini: float, hhi: float
) -> None:
    weights, mask = uniform(length), causal_geometry(length).mask
    importance = concentration.importance(weights, mask)
    harmonic = (1 / np.arange(1, length + 1)).sum()
    np.testing.assert_allclose(importance[0, 0], harmonic / length, rtol=1e-5)
    np.testing.assert_allclose(importance[0, 0], first, atol=5e-5)
    found = concentration.gini(weights)[0]
    np.testing.assert_allclose(found, (length - 1) / (2 * length), rtol=1e-5)
    np.testing.assert_allclose(found, gini, atol=5e-4)
    np.testing.assert_allclose(concentration.hhi(weights)[0], hhi, atol=5e-3)
    np.testing.assert_allclose(concentration.row_entropy(weights, mask), 1.0, rtol=1e-5)
    np.testing.assert_allclose(
        concentration.excess_of_sources(weights, mask), 1.0, rtol=1e-5
    )


@pytest.mark.parametrize(("length", "wanted"), [(9, True), (10, False)])
def test_below_ten_positions_the_uniform_null_exceeds_the_threshold(
    length: int, wanted: bool
) -> None:
    importance = concentration.importance(uniform(length), causal_geometry(length).mask)
    assert (importance[0, 0] > 0.3) == wanted


@pytest.mark.parametrize(
    ("deviation", "peak"), [(1.0, 0.22), (2.0, 0.42), (4.0, 0.67), (8.0, 0.83)]
)
def test_random_logits_sharpen_rows_without_a_sink(
    deviation: float, peak: float
) -> None:
    mask = causal_geometry(64).mask
    weights = random_routing(jax.random.key(0), mask, 200, jnp.float32(deviation))
    # 200 draws of 64 rows: the standard error is below .003.
    np.testing.assert_allclose(
        concentration.row_peak(weights).mean(), peak, atol=0.0125
    )
    importance = concentration.importance(weights, mask)
    assert concentration.first_source_sinks(importance).mean() < 0.03


@pytest.mark.parametrize(
    ("length", "spread", "wanted"),
    [
        (64, 0, 2.0),
        (64, 0.5, 2.7),
        (64, 1, 5.5),
        (256, 0, 2.0),
        (256, 0.5, 4.3),
        (256, 1, 18.0),
    ],
)
def test_log_normal_key_norms_alone_concentrate(
    length: int, spread: float, wanted: float
) -> None:
    width, draws = 64, 48
    norm_key, *keys = jax.random.split(jax.random.key(1), 3)
    size = (draws, length, width)
    norms = jnp.exp(spread * jax.random.normal(norm_key, (draws, length, 1)))
    key = gaussian_directions(keys[0], np.sqrt(width) * norms * jnp.ones(size) / 8)
    query = jax.random.normal(keys[1], size)
    score = jnp.einsum("ntk,nsk->nts", query, key) / np.sqrt(width)
    mask = causal_geometry(length).mask[None]
    weights = jax.nn.softmax(jnp.where(mask, score, -jnp.inf), axis=-1)
    found = concentration.hhi(weights)
    np.testing.assert_allclose(found.mean(), wanted, atol=0.1 * wanted)


def test_a_drained_sink_at_full_attention_is_the_whole_output() -> None:
    # Attention .999 on a value 100 times shorter: the rest adds .001 x 1.
    weights = jnp.asarray([[[0.999, 0.001]]])
    values = jnp.asarray([[[0.01, 0.0], [0.0, 1.0]]])
    omega = contribution.contributions(weights, values)
    np.testing.assert_allclose(omega[0, 0, 0], 0.99, atol=2e-3)
    length = contribution.output_length(weights, values)
    np.testing.assert_allclose(length, np.hypot(0.00999, 0.001) / 0.505, rtol=1e-5)


def test_rows_and_columns_of_a_sink_and_of_the_identity() -> None:
    sink, eye = jnp.zeros((12, 12)).at[:, 0].set(1.0), jnp.eye(12)
    weights = jnp.stack([sink, eye])
    np.testing.assert_allclose(concentration.participation(weights), [1, 12], rtol=1e-5)
    np.testing.assert_allclose(concentration.perplexity(weights), [1, 12], rtol=1e-5)
    np.testing.assert_allclose(concentration.gini(weights), [11 / 12, 0], atol=1e-6)
    np.testing.assert_allclose(concentration.row_peak(weights), [1, 1], rtol=1e-6)
    np.testing.assert_allclose(concentration.diagonal_mass(weights), [1 / 12, 1])


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**31 - 1),
    count=st.sampled_from([2, 16, 64]),
    magnitude=st.sampled_from([1e-6, 1.0, 1e6]),
)
def test_a_correlation_with_rounding_errors_is_nan(
    seed: int, count: int, magnitude: float
) -> None:
    """Numbers that differ by rounding alone are a constant; any more, and they vary."""
    generator = np.random.default_rng(seed)
    noise, other = generator.normal(size=(2, 1, count))
    noise /= np.ptp(noise)
    other = jnp.asarray(other, jnp.float32)
    for size, constant in ((4e-7, True), (1e-5, False)):
        nearly = jnp.asarray(magnitude * (1 + size * noise), jnp.float32)
        for pair in ((nearly, other), (other, nearly)):
            assert np.isnan(norms.rank_correlation(*pair)[0]) == constant
