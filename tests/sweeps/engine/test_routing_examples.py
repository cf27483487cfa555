"""Large routing matrices are pooled without a change of what they mean."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sweeps.engine.routing_examples import pool


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(0, 99))
def test_pooled_queries_are_averaged_and_sources_added(
    queries: int, sources: int, size: int, seed: int
) -> None:
    weights = np.random.default_rng(seed).random((queries, sources))
    pooled = pool(weights, size)
    assert pooled.shape == (-(-queries // size), -(-sources // size))
    for row, column in np.ndindex(pooled.shape):
        part = weights[row * size : (row + 1) * size]
        part = part[:, column * size : (column + 1) * size]
        np.testing.assert_allclose(pooled[row, column], part.sum(1).mean())
    assert np.allclose(pool(weights / weights.sum(1, keepdims=True), size).sum(1), 1)
