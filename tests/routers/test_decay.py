"""Log-decay sums."""

import jax.numpy as jnp
import numpy as np

from routers.decay import segment_sums


def test_segment_sums_stay_exact_on_long_sequences() -> None:
    length = 2048
    decay = -np.random.default_rng(0).uniform(0, 0.1, length).astype(np.float32)
    sums = segment_sums(jnp.asarray(decay))
    total = np.concatenate([[0], np.cumsum(decay.astype(np.float64))])
    for query, source in ((0, 0), (9, 1), (2047, 2039), (2047, 0), (1024, 1023)):
        wanted = total[query + 1] - total[source + 1]
        np.testing.assert_allclose(sums[query, source], wanted, rtol=1e-5)
    assert float(jnp.abs(jnp.triu(sums, 1)).max()) == 0
