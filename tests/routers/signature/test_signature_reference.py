"""Every measure against an independent float64 reference, to 1e-5, and its limits.

Inputs are random, and adversarial: all mass on one source, identical tokens, rank 1,
zeros, a single source or token, one massive row, extreme scales.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from routers import Geometry
from routers.signature import (
    alignment,
    collapse,
    concentration,
    contribution,
    graphs,
    norms,
    spectrum,
)
from tests.routers.signature import signature_reference as reference

TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}
"""The figure asked for: within 1e-5 of float64, at float32."""
SEEDS = st.integers(0, 2**31 - 1)


def rows_random(g: np.random.Generator, t: int, d: int) -> np.ndarray:
    return g.normal(size=(t, d))


def rows_identical(g: np.random.Generator, t: int, d: int) -> np.ndarray:
    return np.tile(g.normal(size=(1, d)), (t, 1))


def rows_rank_one(g: np.random.Generator, t: int, d: int) -> np.ndarray:
    return g.normal(size=(t, 1)) @ g.normal(size=(1, d))


def rows_zero(g: np.random.Generator, t: int, d: int) -> np.ndarray:
    return np.zeros((t, d))


def rows_massive(g: np.random.Generator, t: int, d: int) -> np.ndarray:
    x = g.normal(size=(t, d))
    x[g.integers(t)] *= 1e3
    return x


def rows_tiny(g: np.random.Generator, t: int, d: int) -> np.ndarray:
    return 1e-22 * g.normal(size=(t, d))


def rows_huge(g: np.random.Generator, t: int, d: int) -> np.ndarray:
    return 1e22 * g.normal(size=(t, d))


def rows_some_zero(g: np.random.Generator, t: int, d: int) -> np.ndarray:
    return g.normal(size=(t, d)) * (g.random((t, 1)) < 0.5)


ROWS = [f for name, f in list(globals().items()) if name.startswith("rows_")]


def weights_softmax(g: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    logits = np.where(mask, 3 * g.normal(size=mask.shape), -np.inf)
    weights = np.exp(logits - logits.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True)


def weights_first(g: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    return np.eye(mask.shape[1])[np.zeros(len(mask), int)]


def weights_diagonal(g: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    return np.eye(*mask.shape)


def weights_uniform(g: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    return mask / mask.sum(1, keepdims=True)


def weights_zero(g: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    return np.zeros(mask.shape)


def weights_null_mass(g: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    return weights_softmax(g, mask) * g.random((len(mask), 1))


WEIGHTS = [f for name, f in list(globals().items()) if name.startswith("weights_")]


def single(array: np.ndarray) -> np.ndarray:
    """What float32 holds, in float64, so that both sides read the same numbers."""
    return array.astype(np.float32).astype(np.float64)


def both(
    make: Callable[..., np.ndarray], *args: object
) -> tuple[np.ndarray, jax.Array]:
    exact = single(make(*args))
    return exact, jnp.asarray(exact, jnp.float32)


@pytest.mark.parametrize("make", ROWS)
@pytest.mark.parametrize("name", reference.COLLAPSE)
@settings(max_examples=6, deadline=None)
@given(seed=SEEDS, shape=st.sampled_from([(1, 4), (9, 1), (5, 16), (16, 5), (12, 12)]))
def test_collapse(name: str, make: Callable, seed: int, shape: tuple[int, int]) -> None:
    exact, x = both(make, np.random.default_rng(seed), *shape)
    ranks = collapse.ranks(x)
    found = ranks[name] if name == "stable_rank" else getattr(collapse, name)(x)
    np.testing.assert_allclose(found, reference.COLLAPSE[name](exact), **TOLERANCE)


@pytest.mark.parametrize("make", [rows_random, rows_rank_one, rows_massive])
def test_ranks_at_the_size_of_a_sweep(make: Callable) -> None:
    for seed in range(5):
        exact, x = both(make, np.random.default_rng(seed), 64, 64)
        found = collapse.ranks(x)
        for name, value in found.items():
            wanted = reference.COLLAPSE[name](exact)
            np.testing.assert_allclose(value, wanted, **TOLERANCE)


@pytest.mark.parametrize("make", WEIGHTS)
@pytest.mark.parametrize("name", reference.CONCENTRATION)
@settings(max_examples=6, deadline=None)
@given(seed=SEEDS, length=st.sampled_from([1, 2, 12]), causal=st.booleans())
def test_concentration(
    name: str, make: Callable, seed: int, length: int, causal: bool
) -> None:
    mask = np.tri(length, dtype=bool) if causal else np.ones((length, length), bool)
    exact, weights = both(make, np.random.default_rng(seed), mask)
    function = getattr(spectrum if name == "spectral_ratio" else concentration, name)
    needs_mask = name in ("row_entropy", "excess_of_sources")
    arguments = (weights[None], jnp.asarray(mask)) if needs_mask else (weights[None],)
    wanted = reference.CONCENTRATION[name](exact, mask)
    np.testing.assert_allclose(function(*arguments)[0], wanted, **TOLERANCE)
    importance = concentration.importance(weights[None], jnp.asarray(mask))[0]
    np.testing.assert_allclose(
        importance, reference.importance(exact, mask), **TOLERANCE
    )


@pytest.mark.parametrize("make", WEIGHTS)
@pytest.mark.parametrize("make_values", ROWS)
@settings(max_examples=4, deadline=None)
@given(seed=SEEDS, length=st.sampled_from([1, 12]))
def test_contributions(
    make: Callable, make_values: Callable, seed: int, length: int
) -> None:
    generator = np.random.default_rng(seed)
    exact, weights = both(make, generator, np.tri(length, dtype=bool))
    exact_values, values = both(make_values, generator, length, 5)
    omega = contribution.contributions(weights[None], values[None])[0]
    wanted = reference.contributions(exact, exact_values)
    # Values that nearly cancel in y make shares of thousands, whose digits float32
    # does not have: errors count relative to the square of the row's cancellation.
    length_in = np.abs(exact) @ np.linalg.norm(exact_values, axis=1)
    length_out = np.linalg.norm(exact @ exact_values, axis=1)
    amount = (length_in / np.where(length_out > 0, length_out, 1.0)) ** 2
    scale = np.maximum(amount, 1.0)[:, None]
    np.testing.assert_allclose(omega / scale, wanted / scale, **TOLERANCE)
    sums = np.asarray(omega).sum(1)[np.isfinite(wanted[:, 0])]
    if (amount < 100).all():
        np.testing.assert_allclose(sums, 1.0, rtol=1e-4)  # sums of up to 12 shares
    out = contribution.output_length(weights[None], values[None])[0]
    wanted_out = reference.output_length(exact, exact_values)
    np.testing.assert_allclose(out, wanted_out, **TOLERANCE)


@settings(max_examples=60, deadline=None)
@given(
    seed=SEEDS,
    count=st.integers(1, 12),
    kind=st.sampled_from(["random", "equal", "zeros", "ties", "one zero"]),
)
def test_norms(seed: int, count: int, kind: str) -> None:
    generator = np.random.default_rng(seed)
    first, second = single(generator.lognormal(size=(2, count)))
    first = {
        "random": first,
        "equal": np.full(count, first[0]),
        "zeros": np.zeros(count),
        "ties": np.round(first),
        "one zero": first * (np.arange(count) != count // 2),
    }[kind]
    hub = int(generator.integers(count))
    keys, index = jnp.asarray(first, jnp.float32)[None], jnp.asarray([float(hub)])
    other = jnp.asarray(second, jnp.float32)[None]
    pairs = [
        (norms.variation(keys), reference.variation(first)),
        (norms.hub_log_ratio(keys, index), reference.log_ratio(first, hub, False)),
        (norms.hub_against_rest(keys, index), reference.log_ratio(first, hub, True)),
        (norms.rank_correlation(keys, other), reference.spearman(first, second)),
    ]
    for found, wanted in pairs:
        np.testing.assert_allclose(found[0], wanted, **TOLERANCE)


@pytest.mark.parametrize("make", ROWS)
@settings(max_examples=5, deadline=None)
@given(seed=SEEDS, length=st.sampled_from([1, 2, 11]))
def test_features_and_graphs(make: Callable, seed: int, length: int) -> None:
    generator = np.random.default_rng(seed)
    exact, x = both(make, generator, length, 6)
    edges = np.triu(generator.random((length, length)) < 0.5, 1)
    edges |= edges.T
    near = graphs.adjacency(
        Geometry(jnp.asarray(edges * 1.0), jnp.asarray(edges), "graph")
    )
    np.testing.assert_array_equal(near, edges)
    square = (exact**2).sum()
    energy = reference.dirichlet_energy(exact, edges)
    pairs = [
        (norms.massive_activation(x), reference.massive_activation(exact)),
        (norms.negative_aware_norm(x), reference.negative_aware_norm(exact)),
        (
            graphs.mean_average_distance(x, near),
            reference.mean_average_distance(exact, edges),
        ),
        (
            graphs.relative_dirichlet_energy(x, near),
            energy / square if square else np.nan,
        ),
    ]
    if make not in (rows_tiny, rows_huge):  # squares leave float32's range
        pairs.append((graphs.dirichlet_energy(x, near), energy))
        pairs.append((norms.feature_norm(x), np.linalg.norm(exact, axis=1)))
    for found, wanted in pairs:
        np.testing.assert_allclose(found, wanted, **TOLERANCE)


@pytest.mark.parametrize("make", WEIGHTS)
@pytest.mark.parametrize("make_other", WEIGHTS)
@settings(max_examples=3, deadline=None)
@given(seed=SEEDS)
def test_jensen_shannon(make: Callable, make_other: Callable, seed: int) -> None:
    generator, mask = np.random.default_rng(seed), np.tri(9, dtype=bool)
    exact, first = both(make, generator, mask)
    exact_other, second = both(make_other, generator, mask)
    found = norms.jensen_shannon(first[None], second[None])[0]
    wanted = reference.jensen_shannon(exact, exact_other)
    np.testing.assert_allclose(found, wanted, **TOLERANCE)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, size=st.sampled_from([2, 5, 16, 32]))
@example(seed=524289, size=2)  # a complex pair with nearly parallel eigenvectors
def test_power_directions(seed: int, size: int) -> None:
    generator = np.random.default_rng(seed)
    exact, matrix = both(generator.normal, 0.0, 1.0, (size, size))
    left, values, _ = np.linalg.svd(exact)
    if values[1] / values[0] < 0.97:  # nearer ones are ill-conditioned in float32
        cosine = left[:, 0] @ np.asarray(alignment.leading_left_vector(matrix))
        np.testing.assert_allclose(abs(cosine), 1.0, **TOLERANCE)
    vector, gap = reference.dominant_direction(exact)
    found = np.asarray(alignment.dominant_direction(matrix))
    if np.iscomplex(vector).any():
        assert np.isnan(found).all()
        return
    assume(gap < 0.95)
    np.testing.assert_allclose(abs(found @ vector), 1.0, **TOLERANCE)
    exact_x, x = both(rows_random, generator, 7, size)
    cosines = exact_x @ vector / np.linalg.norm(exact_x, axis=1)
    aligned = alignment.alignment(x, jnp.asarray(vector.real, jnp.float32))
    np.testing.assert_allclose(aligned, np.abs(cosines).mean(), **TOLERANCE)


@pytest.mark.parametrize(
    "matrix",
    [
        np.zeros((3, 3)),
        np.diag([1.0, 1.0], 1),
        np.eye(3),
        np.diag([1.0, -1.0, 0.5]),
        np.asarray([[0.0, -1.0], [1.0, 0.0]]),
    ],
    ids=["zero", "nilpotent", "tie", "opposite", "rotation"],
)
def test_no_single_dominant_direction_is_nan(matrix: np.ndarray) -> None:
    found = alignment.dominant_direction(jnp.asarray(matrix, jnp.float32))
    assert np.isnan(np.asarray(found)).all()
