"""Attention against its equation in NumPy, and its limits."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routers import Attention, AttentionConfig, causal_geometry, neutral_knobs
from routers.attention import distance_slopes
from routers.reframing import norm_aware
from routers.rotary import rotate
from routers.softmax import masked_softmax

WIDTH, LENGTH, BATCH = 12, 9, 2


def numpy_attention(
    params: dict, x: np.ndarray, heads: int, slopes: np.ndarray, knobs: dict
) -> tuple[np.ndarray, np.ndarray]:
    """The module docstring's equation, loop by loop, in float64."""
    qkv = x.astype(np.float64) @ np.asarray(params["qkv"], np.float64)
    batch, length, _ = x.shape
    size = WIDTH // heads
    weights = np.zeros((batch, heads, length, length))
    y = np.zeros((batch, length, WIDTH))
    for b in range(batch):
        for h in range(heads):
            columns = slice(h * size, (h + 1) * size)
            query, key, value = (
                qkv[b, :, part * WIDTH : (part + 1) * WIDTH][:, columns]
                for part in range(3)
            )
            rms = np.sqrt((key**2).mean(-1, keepdims=True))
            key = key * rms ** -knobs["key_normalization"]
            for i in range(length):
                logits = np.full(length, -np.inf)
                for j in range(i + 1):
                    score = query[i] @ key[j]
                    score -= knobs["norm_awareness"] * (key[j] @ key[j]) / 2
                    logits[j] = knobs["content"] * score / math.sqrt(size)
                    logits[j] -= knobs["brake"] * slopes[h] * (i - j)
                mass = np.exp(logits)
                weights[b, h, i] = mass / (mass.sum() + knobs["null_sink"])
            y[b, :, columns] = weights[b, h] @ value
    return y @ np.asarray(params["out"], np.float64), weights


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**31 - 1),
    heads=st.sampled_from([1, 2, 3]),
    slopes=st.sampled_from(["uniform", "alibi"]),
    brake=st.sampled_from([0.0, 0.1, 1.0, 30.0]),
    content=st.sampled_from([0.0, 0.5, 1.0]),
    norm_awareness=st.floats(0, 1),
    key_normalization=st.floats(0, 1),
    null_sink=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_equals_its_equation(
    seed: int, heads: int, slopes: str, **knobs: float
) -> None:
    config = AttentionConfig(heads=heads, slopes=slopes, init_scale=0.4)
    router = Attention(width=WIDTH, config=config)
    init_key, x_key = jax.random.split(jax.random.key(seed))
    x = jax.random.normal(x_key, (BATCH, LENGTH, WIDTH))
    traced = {name: jnp.float32(value) for name, value in knobs.items()}
    geometry = causal_geometry(LENGTH)
    params = router.init(init_key, x, geometry, traced)
    y, routing = router.apply(params, x, geometry, traced)
    wanted_y, wanted = numpy_attention(
        params["params"], np.asarray(x), heads, distance_slopes(slopes, heads), knobs
    )
    assert y.dtype == routing.weights.dtype == jnp.float32
    np.testing.assert_allclose(routing.weights, wanted, rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(y, wanted_y, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        routing.null_mass, 1 - wanted.sum(-1), rtol=1e-5, atol=1e-6
    )


def test_knobs_may_differ_by_head() -> None:
    router = Attention(width=WIDTH, config=AttentionConfig(heads=2, init_scale=0.4))
    x = jax.random.normal(jax.random.key(0), (BATCH, LENGTH, WIDTH))
    geometry = causal_geometry(LENGTH)
    params = router.init(jax.random.key(1), x, geometry, neutral_knobs(router))
    split = {
        name: jnp.stack([value, value + 0.5])
        for name, value in neutral_knobs(router).items()
    }
    _, together = router.apply(params, x, geometry, split)
    for head in range(2):
        alone = {name: value[head] for name, value in split.items()}
        _, routing = router.apply(params, x, geometry, alone)
        np.testing.assert_allclose(
            together.weights[:, head], routing.weights[:, head], rtol=1e-5, atol=1e-6
        )


def test_alibi_slopes_are_the_published_ones() -> None:
    np.testing.assert_allclose(
        distance_slopes("alibi", 4), [2**-2, 2**-4, 2**-6, 2**-8]
    )
    # Six heads: the four of a power of two, then every other of the next one.
    np.testing.assert_allclose(distance_slopes("alibi", 6)[4:], [2**-1, 2**-3])
    np.testing.assert_array_equal(distance_slopes("uniform", 3), np.ones(3))


def test_rotary_scores_depend_on_relative_position_only() -> None:
    q, k = jax.random.normal(jax.random.key(0), (2, 8))
    query = rotate(jnp.tile(q, (1, 6, 1, 1)), jnp.arange(6.0))[0, :, 0]
    key = rotate(jnp.tile(k, (1, 6, 1, 1)), jnp.arange(6.0))[0, :, 0]
    score = np.asarray(query @ key.T)
    for lag in range(-5, 6):
        diagonal = np.diagonal(score, lag)
        np.testing.assert_allclose(diagonal, diagonal[0], rtol=1e-4, atol=1e-5)


def test_strong_brake_is_the_identity() -> None:
    router = Attention(width=WIDTH)
    x = jax.random.normal(jax.random.key(0), (BATCH, LENGTH, WIDTH))
    knobs = neutral_knobs(router) | {"brake": jnp.float32(100.0)}
    geometry = causal_geometry(LENGTH)
    params = router.init(jax.random.key(1), x, geometry, knobs)
    _, routing = router.apply(params, x, geometry, knobs)
    eye = np.broadcast_to(np.eye(LENGTH), routing.weights.shape)
    np.testing.assert_allclose(routing.weights, eye, atol=1e-6)


def test_null_sink_survives_very_negative_logits() -> None:
    logits = jnp.full((1, 1, 1, 3), -500.0)
    mask = jnp.ones((1, 1, 1, 3), bool)
    knob = jnp.zeros((1, 1, 1, 1))
    plain = masked_softmax(logits, mask, knob)
    np.testing.assert_allclose(plain, np.full((1, 1, 1, 3), 1 / 3), rtol=1e-6)
    assert float(masked_softmax(logits, mask, knob + 1).sum()) == 0


def dot_product_routing(
    query: jax.Array, key: jax.Array, temperature: float, strength: float
) -> jax.Array:
    """Softmax of the scores that the knob ``norm_awareness`` changes, ``[T, S]``."""
    score = (query @ key.T)[None, None]
    score = norm_aware(score, jnp.float32(strength), key[None, :, None])
    return jax.nn.softmax(score[0, 0] / temperature, axis=-1)


def distance_routing(query: jax.Array, key: jax.Array, temperature: float) -> jax.Array:
    """``softmax_j(-|q - k_j|^2 / 2 tau)``, the Boltzmann distribution, ``[T, S]``."""
    difference = query[:, None, :] - key[None, :, :]
    energy = jnp.sum(difference**2, axis=-1) / 2
    return jax.nn.softmax(-energy / temperature, axis=-1)


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**31 - 1),
    temperature=st.floats(0.3, 10),
    scale=st.floats(0.1, 5),
)
def test_reframing_identity(seed: int, temperature: float, scale: float) -> None:
    """Claim C1: exact with the norm term, and without it for equal key norms."""
    query_key, key_key = jax.random.split(jax.random.key(seed))
    query = jax.random.normal(query_key, (5, 8))
    key = scale * jax.random.normal(key_key, (7, 8))
    aware = dot_product_routing(query, key, temperature, 1.0)
    distance = distance_routing(query, key, temperature)
    # Logits reach hundreds here; their float32 rounding shows in the weights.
    np.testing.assert_allclose(aware, distance, rtol=2e-3, atol=1e-5)
    level = scale * key / jnp.linalg.norm(key, axis=-1, keepdims=True)
    blind = dot_product_routing(query, level, temperature, 0.0)
    np.testing.assert_allclose(
        blind, distance_routing(query, level, temperature), rtol=2e-4, atol=1e-6
    )


def test_without_the_norm_term_unequal_keys_break_the_identity() -> None:
    query = jnp.asarray([[1.0, 0.0]])
    key = jnp.asarray([[1.0, 0.0], [3.0, 0.0]])
    blind = dot_product_routing(query, key, 1.0, 0.0)
    distance = distance_routing(query, key, 1.0)
    assert blind[0, 1] > 0.8 > 0.2 > distance[0, 1]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"heads": 5}, "heads=5: must divide the model width 12"),
        ({"heads": 4, "rotary": True}, "even head width"),
    ],
)
def test_sizes_that_do_not_fit_are_named(config: dict, message: str) -> None:
    router = Attention(width=WIDTH, config=AttentionConfig(**config))
    x = jnp.zeros((1, LENGTH, WIDTH))
    with pytest.raises(ValueError, match=message):
        router.init(
            jax.random.key(0), x, causal_geometry(LENGTH), neutral_knobs(router)
        )


def test_calls_that_do_not_fit_are_named() -> None:
    router = Attention(width=WIDTH)
    x, knobs = jnp.zeros((1, LENGTH, WIDTH)), neutral_knobs(router)
    with pytest.raises(ValueError, match=r"\(4, 4\) has 4 sources, x of shape"):
        router.init(jax.random.key(0), x, causal_geometry(4), knobs)
    with pytest.raises(ValueError, match="does not accept 'graph'"):
        geometry = causal_geometry(LENGTH).replace(kind="graph")
        router.init(jax.random.key(0), x, geometry, knobs)
    with pytest.raises(ValueError, match="knobs given are"):
        router.init(jax.random.key(0), x, causal_geometry(LENGTH), {})


def plain_softmax(
    logits: jax.Array, mask: jax.Array, null_sink: jax.Array
) -> jax.Array:
    """The equation, the null source shifted as the others, differentiated by JAX."""
    logits = jnp.where(mask, logits, -jnp.inf)
    top = jax.lax.stop_gradient(jnp.max(logits, -1, keepdims=True))
    top = jnp.maximum(top, jnp.where(null_sink > 0, 0.0, -jnp.inf))
    mass = jnp.exp(logits - top)
    return mass / (jnp.sum(mass, -1, keepdims=True) + null_sink * jnp.exp(-top))


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31 - 1),
    heads=st.integers(1, 3),
    scale=st.sampled_from([0.1, 3.0, 30.0]),
    null_sink=st.sampled_from([0.0, 0.5, 1.0]),
    per_head=st.booleans(),
)
def test_the_softmax_has_the_gradient_of_its_equation(
    seed: int, heads: int, scale: float, null_sink: float, per_head: bool
) -> None:
    first, second = jax.random.split(jax.random.key(seed))
    shape = (2, heads, 4, 5)
    logits = scale * jax.random.normal(first, shape)
    mask = jnp.tril(jnp.ones((4, 5), bool), 1)
    null = jnp.full((1, heads if per_head else 1, 1, 1), null_sink)
    weights, back = jax.vjp(lambda x, z: masked_softmax(x, mask, z), logits, null)
    expected, plain = jax.vjp(lambda x, z: plain_softmax(x, mask, z), logits, null)
    np.testing.assert_allclose(weights, expected, rtol=1e-5, atol=1e-6)
    gradient = jax.random.normal(second, shape)
    (ours, of_null), (theirs, of_plain_null) = back(gradient), plain(gradient)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    if null_sink or scale < 30:  # else the derivative may be beyond float32
        np.testing.assert_allclose(of_null, of_plain_null, rtol=1e-4, atol=1e-5)
