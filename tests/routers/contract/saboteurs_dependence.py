"""Wrong routers: what depends on the length, other rows, other heads, the trace."""

import itertools
import random
import time

import jax
import jax.numpy as jnp
import numpy as np

from tests.routers.contract.honest import (
    family,
    flat,
    length,
    position,
    row,
    scaled_score,
    shares,
    where,
    with_keys,
)

# 5. Both stages depend on the length.
family("length", "ignores_the_length", "route combine")(
    {
        "brake by length": lambda s: s.softmax(brake=9 * s.knobs["brake"] / length(s)),
        "brake by log length": lambda s: s.softmax(
            brake=s.knobs["brake"] * np.log(length(s))
        ),
        "score by length": lambda s: scaled_score(s, 1 + 1 / length(s)),
        "score by root": lambda s: scaled_score(s, length(s) ** -0.5),
        "distance as a share": lambda s: s.softmax(
            geometry=where(s.geometry, distance=s.geometry.distance / length(s))
        ),
        "sink by length": lambda s: s.softmax(
            null_sink=s.knobs["null_sink"] * length(s)
        ),
        "long is uniform": lambda s: flat(s) if length(s) > 64 else s.right,
        "long ignores the brake": lambda s: s.softmax(
            brake=s.knobs["brake"] * (length(s) < 64)
        ),
        "window of a tenth": lambda s: shares(
            jnp.where(position(s)[0] - position(s)[1] <= length(s) // 10, s.right, 0)
        ),
        "odd lengths": lambda s: scaled_score(s, 1.0 + 0.1 * (length(s) % 4 == 3)),
        "places from the end": lambda s: shares(
            s.right * (1 + 0.1 * ((length(s) - position(s)[1]) % 5 == 0))
        ),
    }
)

# 6. Rows of the batch know each other.
family("batch", "ignores_other_rows", "route combine")(
    {
        "keys centred over the batch": lambda s: with_keys(
            s, s.features.key - 0.5 * s.features.key.mean(0, keepdims=True)
        ),
        "keys normed over the batch": lambda s: with_keys(
            s, s.features.key / (1 + jnp.abs(s.features.key).max(0, keepdims=True))
        ),
        "score normed over the batch": lambda s: scaled_score(
            s, 1 / (1 + jnp.std(s.features.query))
        ),
        "weights averaged": lambda s: s.right.mean(0, keepdims=True),
        "weights leak": lambda s: 0.999 * s.right + 0.001 * s.right[::-1],
        "rows reversed": lambda s: s.right[::-1],
        "first row for all": lambda s: s.right[:1],
        "keys of the neighbour": lambda s: with_keys(s, s.features.key[::-1]),
        "largest of the batch": lambda s: shares(jnp.maximum(s.right, s.right[::-1])),
        "last row uniform": lambda s: s.right.at[-1].set(flat(s)[-1]),
        "place in the batch": lambda s: scaled_score(
            s, 1 + 0.1 * jnp.tanh(jnp.sum(s.features.query[0]))
        ),
    }
)


def first_geometry(s, **change):
    """The geometry with arrays ``[B, T, S]`` changed; ``[T, S]`` stays."""
    if s.geometry.mask.ndim == 2:
        return s.right
    parts = {name: f(getattr(s.geometry, name)) for name, f in change.items()}
    return s.softmax(geometry=where(s.geometry, **parts))


# 7. Geometries of other rows.
family("geometry", "geometry_is_per_row", "route combine")(
    {
        "first distance": lambda s: first_geometry(s, distance=lambda d: d[:1]),
        "last distance": lambda s: first_geometry(s, distance=lambda d: d[-1:]),
        "mean distance": lambda s: first_geometry(s, distance=lambda d: d.mean(0)),
        "largest distance": lambda s: first_geometry(s, distance=lambda d: d.max(0)),
        "least distance": lambda s: first_geometry(s, distance=lambda d: d.min(0)),
        "distances reversed": lambda s: first_geometry(s, distance=lambda d: d[::-1]),
        "first mask": lambda s: first_geometry(s, mask=lambda m: m[:1]),
        "last mask": lambda s: first_geometry(s, mask=lambda m: m[-1:]),
        "any mask": lambda s: first_geometry(s, mask=lambda m: m.any(0)),
        "every mask": lambda s: first_geometry(s, mask=lambda m: m.all(0)),
        "masks reversed": lambda s: first_geometry(s, mask=lambda m: m[::-1]),
    }
)


def of_knob(name, reduce):
    """A knob ``[H]`` reduced to one number for all heads."""
    return lambda s: s.softmax(**{name: reduce(jnp.atleast_1d(s.knobs[name]))})


# 8. Knobs of other heads.
family("knobs per head", "knobs_act_per_head", "route combine")(
    {
        f"{reduction} {name}": of_knob(name, reduce)
        for name in ("brake", "content", "null_sink")
        for reduction, reduce in {
            "first": lambda k: k[:1],
            "last": lambda k: k[-1:],
            "mean": jnp.mean,
            "largest": jnp.max,
            "least": jnp.min,
            "reversed": lambda k: k[::-1],
        }.items()
    }
)


def blind(s, key):
    """The weights of scores that are keys ``[S]`` of no content, for every query."""
    like = s.features.key
    key = jnp.broadcast_to(key[None, :, None, None], like.shape)
    features = s.features.replace(query=jnp.ones_like(like), key=key)
    return s.softmax(features=features)


def places(s):
    return jnp.arange(length(s)) + 1.0


# 17. The weights do not depend on the content.
family("content", "weights_depend_on_content", "route combine")(
    {
        "uniform": flat,
        "score of zero": lambda s: blind(s, 0 * places(s)),
        "constant score": lambda s: blind(s, 0 * places(s) + 2),
        "score by place": lambda s: blind(s, jnp.sin(1.7 * places(s))),
        "score by parity": lambda s: blind(s, places(s) % 2),
        "fixed random score": lambda s: blind(
            s, jax.random.normal(jax.random.key(0), (length(s),))
        ),
        "brake alone": lambda s: s.softmax(content=0 * s.knobs["content"]),
        "one head blind": lambda s: s.right.at[:, 1].set(blind(s, places(s) % 3)[:, 1]),
        "one row blind": lambda s: row(s, 5, blind(s, places(s) % 3)),
        "first half blind": lambda s: jnp.where(
            position(s)[0] < length(s) // 2, blind(s, places(s) % 3), s.right
        ),
        "saturated": lambda s: (
            jax.nn.one_hot(position(s)[0][:, 0], length(s)) + 0 * s.right
        ),
    }
)

COUNTER = itertools.count()
START = time.perf_counter()


def drifting(source):
    return lambda s: scaled_score(s, 1 + 0.1 * source())


# 12. Every trace gives another router.
family("trace", "is_deterministic", "route combine")(
    {
        "counter": drifting(lambda: next(COUNTER)),
        "counter modulo": drifting(lambda: next(COUNTER) % 7),
        "Python's random": drifting(random.random),
        "NumPy's random": drifting(lambda: np.random.default_rng().random()),
        "global random": drifting(lambda: float(np.random.rand())),
        "time": drifting(lambda: time.perf_counter() - START),
        "clock": drifting(lambda: time.time_ns() % 1000 / 1000),
        "address": drifting(
            lambda: id(object()) // 16 % 997 / 997 + next(COUNTER) / 31
        ),
        "fresh key": drifting(
            lambda: jax.random.uniform(jax.random.key(next(COUNTER)))
        ),
        "system's random": drifting(lambda: random.SystemRandom().random()),
        "Gaussian": drifting(lambda: np.random.default_rng().standard_normal()),
    }
)
