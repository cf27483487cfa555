"""Grouped attention: `Attention` where they agree; parity stands in pretrained/."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from routers.attention import Attention, AttentionConfig
from routers.base import causal_geometry, neutral_knobs
from routers.contract import QUICK, examine
from routers.grouped_attention import (
    GroupedAttention,
    GroupedAttentionConfig,
    sequence_geometry,
)
from routers.rotary import rotary_frequencies, rotate

WIDTH, HEADS, LENGTH = 12, 3, 7


def drawn(shape: tuple[int, ...], scale: float = 1.0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).normal(0, scale, shape), jnp.float32)


def weights(fused: int, mixed: int) -> dict[str, Any]:
    own = {"qkv": drawn((WIDTH, fused), 0.5), "out": drawn((mixed, WIDTH), 0.5)}
    return {"params": own}


@pytest.mark.parametrize("rotary", [False, True])
def test_is_attention_where_nothing_is_added(rotary: bool) -> None:
    plain = Attention(WIDTH, AttentionConfig(HEADS, rotary=rotary))
    frequencies = tuple(rotary_frequencies(WIDTH // HEADS).tolist()) if rotary else ()
    config = GroupedAttentionConfig(HEADS, frequencies=frequencies)
    grouped = GroupedAttention(WIDTH, config)
    x, params = drawn((2, LENGTH, WIDTH)), weights(3 * WIDTH, WIDTH)
    geometry = causal_geometry(LENGTH)
    knobs = neutral_knobs(plain) | {
        "brake": jnp.float32(0.3),
        "norm_awareness": jnp.float32(0.5),
        "null_sink": jnp.float32(1.0),
    }
    outputs = [jax.jit(r.apply)(params, x, geometry, knobs) for r in (plain, grouped)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5, 1e-6), *outputs)


def test_query_heads_of_a_group_read_the_same_keys() -> None:
    config = GroupedAttentionConfig(6, key_heads=2, head_width=4)
    router: Any = GroupedAttention(WIDTH, config)
    x = drawn((1, LENGTH, WIDTH))
    features = router.apply(weights(40, 24), x, method="project")
    assert features.query.shape == features.key.shape == (1, LENGTH, 6, 4)
    for part in (features.key, features.value):
        np.testing.assert_array_equal(part[:, :, 0], part[:, :, 2])
        assert np.any(np.asarray(part[:, :, 2]) != np.asarray(part[:, :, 3]))


def test_channels_beyond_the_frequencies_are_not_rotated() -> None:
    x = drawn((1, LENGTH, 1, 8))
    turned = rotate(x, jnp.arange(7.0), rotary_frequencies(4))
    np.testing.assert_array_equal(turned[..., 4:], x[..., 4:])
    np.testing.assert_allclose(
        turned[..., :4], rotate(x[..., :4], jnp.arange(7.0)), 1e-6, 1e-6
    )


def test_a_sequence_read_in_both_directions() -> None:
    geometry = sequence_geometry(3)
    assert geometry.kind == "graph" and geometry.mask.all()
    np.testing.assert_array_equal(geometry.distance, [[0, 1, 2], [1, 0, 1], [2, 1, 0]])


def test_fulfils_the_contract() -> None:
    # The full contract takes minutes on both kinds of geometry: `onset check`.
    config = GroupedAttentionConfig(
        4, key_heads=2, norm_epsilon=1e-6, bias=True, init_scale=0.5
    )
    findings = examine(GroupedAttention(8, config), checks=QUICK)
    assert [f for f in findings if not f.passed or f.unchecked] == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"heads": 3, "key_heads": 2}, "key_heads=2: must divide the number of heads"),
        ({"heads": 0}, "heads=0: must be at least 1"),
        ({"heads": 5}, "heads=5: must divide the model width 12"),
        ({"heads": 3, "frequencies": (1.0,) * 3}, "at most half of the head width 4"),
    ],
)
def test_sizes_that_do_not_fit_are_named(settings: dict, message: str) -> None:
    x, geometry = jnp.ones((1, LENGTH, WIDTH)), causal_geometry(LENGTH)
    with pytest.raises(ValueError, match=message):
        router = GroupedAttention(WIDTH, GroupedAttentionConfig(**settings))
        router.init(jax.random.key(0), x, geometry, neutral_knobs(router))


def test_a_rotation_needs_an_order() -> None:
    router = GroupedAttention(WIDTH, GroupedAttentionConfig(frequencies=(1.0,)))
    x, geometry = jnp.ones((1, LENGTH, WIDTH)), sequence_geometry(LENGTH)
    with pytest.raises(ValueError, match="must be empty on 'graph' geometry"):
        router.init(jax.random.key(0), x, geometry, neutral_knobs(router))
