"""Wrong routers: knobs without effect, limits that fail, wrong rows and norms."""

import jax.numpy as jnp

from tests.routers.contract.honest import (
    family,
    open_mask,
    position,
    row,
    shares,
    where,
)

# 9. Knobs without effect.
family("idle knob", "every_knob_matters", "route combine")(
    {
        f"{name} {how}": (
            lambda s, name=name, f=f: s.softmax(**{name: f(s.knobs[name])})
        )
        for name, neutral in (("brake", 0.0), ("content", 1.0), ("null_sink", 0.0))
        for how, f in {
            "ignored": lambda k, n=neutral: 0 * k + n,
            "rounded away": lambda k, n=neutral: n + 1e-9 * k,
            "clipped to nothing": lambda k, n=neutral: jnp.clip(k, n, n),
            "replaced": lambda k: 0 * k + 0.4,
        }.items()
    }
)


def jump(name, size, neutral=0.0):
    return lambda s: s.softmax(
        **{name: jnp.where(s.knobs[name] == neutral, neutral, s.knobs[name] + size)}
    )


# 10. Neutral values that do something.
family("neutral", "neutral_values_do_nothing", "route combine")(
    {
        "brake jumps": jump("brake", 0.1),
        "brake jumps far": jump("brake", 2.0),
        "content jumps": jump("content", 0.2, 1.0),
        "content jumps down": jump("content", -0.5, 1.0),
        "sink jumps": jump("null_sink", 0.2),
        "sink jumps little": jump("null_sink", 0.05),
        "sink always": lambda s: s.softmax(null_sink=s.knobs["null_sink"] + 0.1),
        "sink always 1": lambda s: s.softmax(null_sink=s.knobs["null_sink"] + 1),
        "scaled": lambda s: 0.9 * s.right,
        "sink sharpens": lambda s: s.softmax(
            content=s.knobs["content"] * (1 + s.knobs["null_sink"])
        ),
        "sink brakes": lambda s: s.softmax(
            brake=s.knobs["brake"] + s.knobs["null_sink"]
        ),
        "sink of one source": lambda s: s.right.at[..., 0].multiply(0.5),
    }
)


def slipped(f):
    """A value that is 0 or 1 where it should, with a gradient that is not finite."""
    return lambda s: s.right * (1 + 0 * s.right + f(s))


# 11. Values or gradients that are not finite.
family("not finite", "finite_everywhere", "route combine")(
    {
        "root of the brake": lambda s: s.softmax(brake=jnp.sqrt(s.knobs["brake"])),
        "power of the brake": lambda s: s.softmax(brake=s.knobs["brake"] ** 0.3),
        "root of the sink": lambda s: s.softmax(
            null_sink=jnp.sqrt(s.knobs["null_sink"])
        ),
        "root of the content": lambda s: s.softmax(
            content=jnp.sqrt(s.knobs["content"])
        ),
        "guarded logarithm": slipped(
            lambda s: (
                0
                * jnp.where(s.knobs["brake"] > 0, jnp.log(s.knobs["brake"]), 0.0).sum()
            )
        ),
        "guarded division": slipped(
            lambda s: (
                1e-3
                * jnp.where(s.knobs["content"] > 0, 1 / s.knobs["content"], 0.0).sum()
            )
        ),
        "norm of zero": slipped(
            lambda s: 0.1 * jnp.linalg.norm(s.features.key * s.knobs["brake"].sum())
        ),
        "exponential": slipped(lambda s: 0 * jnp.exp(s.knobs["brake"]).sum()),
        "exponential of the sink": slipped(
            lambda s: 1e-3 * jnp.exp(s.knobs["null_sink"] * 20).sum()
        ),
        "difference of infinities": slipped(
            lambda s: 0 * (1 / s.knobs["brake"] - 1 / s.knobs["brake"]).sum()
        ),
        "arc of the content": slipped(
            lambda s: 0.1 * jnp.arcsin(jnp.clip(s.knobs["content"], 0, 1)).sum()
        ),
        "unmasked row": lambda s: s.softmax(
            geometry=where(s.geometry, mask=s.geometry.mask & (position(s)[0] != 3))
        ),
    }
)

# 13. Norms that are not those of the keys.
family("key norms", "norms_are_those_of_the_features", "norms")(
    {
        "squared": lambda s: s.right**2,
        "of queries": lambda s: jnp.linalg.norm(s.features.query, axis=-1).swapaxes(
            1, 2
        ),
        "of values": lambda s: jnp.linalg.norm(s.features.value, axis=-1).swapaxes(
            1, 2
        ),
        "sums": lambda s: jnp.abs(s.features.key).sum(-1).swapaxes(1, 2),
        "largest": lambda s: jnp.abs(s.features.key).max(-1).swapaxes(1, 2),
        "root mean square": lambda s: s.right / 2**0.5,
        "ones": lambda s: jnp.ones_like(s.right),
        "heads reversed": lambda s: s.right[:, ::-1],
        "heads averaged": lambda s: s.right.mean(1, keepdims=True),
        "sources shifted": lambda s: jnp.roll(s.right, 1, axis=-1),
        "rows reversed": lambda s: s.right[::-1],
        "logarithms": lambda s: jnp.log1p(s.right),
    }
)


# 15. Reported weights that are no shares.
family("rows", "rows_are_shares", "route combine")(
    {
        "double": lambda s: 2 * s.right,
        "negative": lambda s: s.right.at[..., 4, 2].add(-1.0).at[..., 4, 1].add(1.0),
        "negated": lambda s: -s.right,
        "masked source": lambda s: s.right.at[..., 2, 7].set(1e-4),
        "mask ignored": open_mask,
        "not a number": lambda s: s.right.at[..., 5, 1].set(jnp.nan),
        "infinite": lambda s: s.right.at[..., 5, 1].set(jnp.inf),
        "exponentials": lambda s: jnp.exp(s.right) * s.geometry.mask,
        "columns": lambda s: s.right / s.right.sum(-2, keepdims=True) * 3,
        "mass too large": lambda s: s.right * 1.001,
        "transposed": lambda s: s.right.swapaxes(-1, -2),
    }
)

# 16. Brakes that do not brake.
family("brake", "strong_brake_keeps_the_nearest", "route combine")(
    {
        "inverted": lambda s: s.softmax(brake=-s.knobs["brake"]),
        "bounded": lambda s: s.softmax(brake=jnp.tanh(s.knobs["brake"])),
        "logarithm": lambda s: s.softmax(brake=0.1 * jnp.log1p(s.knobs["brake"])),
        "one head free": lambda s: s.right.at[:, 0].set(
            s.softmax(brake=0 * s.knobs["brake"])[:, 0]
        ),
        "leaks": lambda s: (
            0.99 * s.right + 0.01 * s.softmax(brake=0 * s.knobs["brake"])
        ),
        "uniform": lambda s: s.softmax(
            brake=0 * s.knobs["brake"],
            content=s.knobs["content"] / (1 + s.knobs["brake"]),
        ),
        "first source kept": lambda s: shares(s.right.at[..., 0].add(0.1)),
        "one row free": lambda s: row(s, 6, s.softmax(brake=0 * s.knobs["brake"])),
        "reversed distance": lambda s: s.softmax(
            geometry=where(
                s.geometry, distance=s.geometry.distance.max() - s.geometry.distance
            )
        ),
        "wrapped distance": lambda s: s.softmax(
            geometry=where(s.geometry, distance=s.geometry.distance % 4)
        ),
        "window": lambda s: s.softmax(
            geometry=where(s.geometry, distance=jnp.maximum(s.geometry.distance - 2, 0))
        ),
    }
)
