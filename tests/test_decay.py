"""Log-decay sums and the checkpointed scan."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from routers.decay import checkpointed_scan, segment_sums


def test_segment_sums_stay_exact_on_long_sequences() -> None:
    length = 2048
    decay = -np.random.default_rng(0).uniform(0, 0.1, length).astype(np.float32)
    sums = segment_sums(jnp.asarray(decay))
    total = np.concatenate([[0], np.cumsum(decay.astype(np.float64))])
    for query, source in ((0, 0), (9, 1), (2047, 2039), (2047, 0), (1024, 1023)):
        wanted = total[query + 1] - total[source + 1]
        np.testing.assert_allclose(sums[query, source], wanted, rtol=1e-5)
    assert float(jnp.abs(jnp.triu(sums, 1)).max()) == 0


@pytest.mark.parametrize("length", [1, 5, 64, 130])
def test_checkpointed_scan_equals_scan(length: int) -> None:
    xs = jax.random.normal(jax.random.key(0), (length, 3))

    def step(carry: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        carry = 0.9 * carry + x
        return carry, jnp.tanh(carry)

    def loss(scan: object, xs: jax.Array) -> jax.Array:
        return jnp.sum(scan(step, jnp.zeros(3), xs) ** 2)

    def plain(*arguments: object) -> jax.Array:
        return jax.lax.scan(*arguments)[1]

    ours, wanted = (
        jax.value_and_grad(loss, 1)(s, xs) for s in (checkpointed_scan, plain)
    )
    np.testing.assert_allclose(ours[0], wanted[0], rtol=1e-6)
    np.testing.assert_allclose(ours[1], wanted[1], rtol=1e-5, atol=1e-6)
