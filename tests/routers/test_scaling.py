"""Products with shared factors: the same values and gradients as plain ones."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from routers.scaling import by_channel, by_position


def plain_position(x: Any, factor: Any) -> Any:
    return x * factor[..., None]


CASES = {
    "channel": (by_channel, jnp.multiply, (2, 5, 3, 4), (3, 4)),
    "one axis of channels": (by_channel, jnp.multiply, (2, 5, 4), (4,)),
    "position": (by_position, plain_position, (2, 5, 3, 4), (2, 5, 3)),
    "position of all heads": (by_position, plain_position, (2, 5, 3, 4), (2, 5, 1)),
}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_those_of_the_plain_product(
    case: str, dtype: Any
) -> None:
    ours, plain, *shapes = CASES[case]
    keys = jax.random.split(jax.random.key(0), 2)
    drawn = zip(keys, shapes, strict=True)
    inputs = [jax.random.normal(key, shape, dtype) for key, shape in drawn]

    def both(product: Any, inputs: Any) -> Any:
        y, pull = jax.vjp(product, *inputs)
        return y, pull(jnp.sin(3 * y))

    found, wanted = (
        both(ours, inputs),
        both(plain, [x.astype(jnp.float32) for x in inputs]),
    )
    # Of bfloat16: seven bits of every factor, product and result.
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if dtype == jnp.float32 else {"atol": 0.15}
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert one.dtype == dtype
        np.testing.assert_allclose(one.astype(jnp.float32), other, **tolerance)


def test_members_side_by_side() -> None:
    x, factor = jnp.ones((3, 2, 5, 4)), jnp.arange(12.0).reshape(3, 4)
    loss = jax.vmap(jax.grad(lambda f, x: by_channel(x, f).sum()), (0, 0))
    np.testing.assert_array_equal(loss(factor, x), jnp.full((3, 4), 10.0))
