"""Wrong routers: other weights than reported, the future, chunks, hidden mixing."""

import jax
import jax.numpy as jnp

from tests.routers.contract.honest import (
    family,
    flat,
    length,
    open_mask,
    position,
    row,
    scaled_score,
    shares,
    where,
    with_keys,
)

# 1. The fast path is not the reported routing.
family("fast path", "mixes_what_it_reports", "combine")(
    {
        "brake inverted": lambda s: s.softmax(brake=-s.knobs["brake"]),
        "brake ignored": lambda s: s.softmax(brake=0.0 * s.knobs["brake"]),
        "brake by length": lambda s: s.softmax(brake=9 * s.knobs["brake"] / length(s)),
        "brake squared": lambda s: s.softmax(brake=s.knobs["brake"] ** 2),
        "brake clipped": lambda s: s.softmax(brake=jnp.minimum(s.knobs["brake"], 2.0)),
        "content ignored": lambda s: s.softmax(content=jnp.ones(2)),
        "content halved": lambda s: s.softmax(content=0.5 * s.knobs["content"]),
        "sink ignored": lambda s: s.softmax(null_sink=0.0 * s.knobs["null_sink"]),
        "mask ignored in one row": lambda s: row(s, 2, open_mask(s)),
        "mask ignored": open_mask,
        "heads reversed": lambda s: s.right[:, ::-1],
        "heads averaged": lambda s: s.right.mean(1, keepdims=True),
        "one head uniform": lambda s: s.right.at[:, 1].set(flat(s)[:, 1]),
        "a row from before": lambda s: row(s, 7, s.right[:, :, 6:7]),
        "sharpened": lambda s: shares(s.right**1.01),
        "smoothed": lambda s: 0.999 * s.right + 0.001 * flat(s),
        "scaled": lambda s: 0.99 * s.right,
        "sign": lambda s: -s.right,
        "largest only": lambda s: jnp.where(
            s.right == s.right.max(-1, keepdims=True), s.right, 0.0
        ),
        "one entry": lambda s: s.right.at[..., 5, 3].add(1e-3),
    }
)

# 2. The report is not the routing of the fast path.
family("report", "mixes_what_it_reports", "route")(
    {
        "content ignored": lambda s: s.softmax(content=0.0 * s.knobs["content"]),
        "content fixed": lambda s: s.softmax(content=jnp.ones(2)),
        "brake ignored": lambda s: s.softmax(brake=0.0 * s.knobs["brake"]),
        "brake fixed": lambda s: s.softmax(brake=jnp.full(2, 0.3)),
        "brake shifted": lambda s: s.softmax(brake=s.knobs["brake"] + 1e-3),
        "uniform": flat,
        "identity": lambda s: jnp.eye(length(s))[None, None],
        "heads reversed": lambda s: s.right[:, ::-1],
        "heads averaged": lambda s: s.right.mean(1, keepdims=True),
        "first head for all": lambda s: s.right[:, :1],
        "smoothed": lambda s: 0.99 * s.right + 0.01 * flat(s),
        "sharpened": lambda s: shares(s.right**1.05),
        "queries as keys": lambda s: s.softmax(
            features=s.features.replace(query=s.features.key)
        ),
        "hub hidden": lambda s: jnp.where(
            position(s)[0] > 0, shares(s.right.at[..., 0].multiply(0.5)), s.right
        ),
    }
)


def block_leak(size, heads=slice(None)):
    def leak(s):
        query, source = position(s)
        blocks = s.geometry.mask | (query // size == source // size)
        wrong = s.softmax(geometry=where(s.geometry, mask=blocks))
        return s.right.at[:, heads].set(wrong[:, heads])

    return leak


# 3. Outputs know the future.
family("future", "ignores_the_future", "route combine")(
    {
        **{f"blocks of {size}": block_leak(size) for size in (2, 3, 5, 8)},
        "blocks of 2, one head": block_leak(2, slice(1, 2)),
        "mask ignored": open_mask,
        "mask ignored in one row": lambda s: row(s, 3, open_mask(s)),
        "first row": lambda s: row(s, 0, open_mask(s)),
        "last but one row": lambda s: row(s, length(s) - 2, open_mask(s)),
        "mask off by one": lambda s: s.softmax(
            geometry=where(s.geometry, mask=jnp.tri(length(s), k=1, dtype=bool))
        ),
        "keys centred": lambda s: (
            with_keys(s, s.features.key - s.features.key.mean(1, keepdims=True)) * 0
            + with_keys(
                s, s.features.key / jnp.abs(s.features.key).max(1, keepdims=True)
            )
        ),
        "keys normed over time": lambda s: with_keys(
            s, s.features.key / (1 + jnp.abs(s.features.key).sum(1, keepdims=True))
        ),
        "scale by the last query": lambda s: scaled_score(
            s, 1 + 0.1 * jnp.tanh(s.features.query[0, -1, 0, 0])
        ),
        "next key": lambda s: with_keys(
            s, s.features.key + 0.01 * jnp.roll(s.features.key, -1, axis=1)
        ),
        "wraps around": lambda s: with_keys(s, jnp.roll(s.features.key, 1, axis=1)),
    }
)


def carried(chunk, error):
    """Weights of sources in earlier chunks, with an error that grows with them."""

    def wrong(s):
        query, source = position(s)
        between = query // chunk - source // chunk
        return s.right * jnp.where(between > 0, error(between), 1.0)

    return wrong


# 4. Errors carried between chunks, which short sequences do not show.
family("carry", "mixes_what_it_reports", "combine")(
    {
        **{
            f"grows, chunks of {chunk}": carried(chunk, lambda n: 1 + 1e-3 * 2.0**n)
            for chunk in (16, 24, 32, 64)
        },
        **{
            f"forgotten, chunks of {chunk}": carried(chunk, lambda n: 0.0)
            for chunk in (16, 32, 64, 128)
        },
        "doubled": carried(32, lambda n: 2.0),
        "decays": carried(16, lambda n: 0.99**n),
        "last chunk dropped": lambda s: (
            jnp.where(position(s)[0] >= length(s) // 32 * 32, 0.0, s.right)
            if length(s) > 32
            else s.right
        ),
        "boundary": lambda s: jnp.where(
            (position(s)[0] % 32 == 0)
            & (position(s)[1] == position(s)[0] - 1)
            & (position(s)[0] > 0),
            0.0,
            s.right,
        ),
        "window of 64": lambda s: jnp.where(
            position(s)[0] - position(s)[1] < 64, s.right, 0.0
        ),
    }
)


def value_with(s, value):
    return s.right.replace(value=value)


def running_mean(x):
    count = jnp.arange(1, x.shape[1] + 1).reshape(1, -1, 1, 1)
    return jnp.cumsum(x, axis=1) / count


# 14. Mixing outside of the matrix.
family("hidden mixing", "stages_are_local", "project")(
    {
        "values of the past": lambda s: value_with(s, running_mean(s.right.value)),
        "a little of the past": lambda s: value_with(
            s, s.right.value + 0.01 * running_mean(s.right.value)
        ),
        "token shift": lambda s: value_with(
            s, s.right.value + 0.5 * jnp.roll(s.right.value, 1, axis=1)
        ),
        "first value": lambda s: value_with(s, s.right.value + s.right.value[:, :1]),
        "mean of all": lambda s: value_with(
            s, s.right.value - s.right.value.mean(1, keepdims=True)
        ),
        "keys of the past": lambda s: s.right.replace(key=running_mean(s.right.key)),
        "keys shifted": lambda s: s.right.replace(key=jnp.roll(s.right.key, 1, axis=1)),
        "queries of the past": lambda s: s.right.replace(
            query=running_mean(s.right.query)
        ),
        "values sorted": lambda s: value_with(s, jnp.sort(s.right.value, axis=1)),
        "values reversed": lambda s: value_with(s, s.right.value[:, ::-1]),
        "largest so far": lambda s: value_with(
            s, jax.lax.cummax(s.right.value, axis=1)
        ),
    }
)
family("hidden mixing after", "stages_are_local", "finish")(
    {
        "past outputs": lambda s: s.right + 0.1 * running_mean(s.right),
        "outputs shifted": lambda s: s.right + 0.1 * jnp.roll(s.right, 1, axis=1),
        "values of the past": lambda s: s.right + 0.1 * running_mean(s.features.value),
        "first value": lambda s: s.right + s.features.value[:, :1],
        "norm over time": lambda s: (
            s.right / (1 + jnp.std(s.right, axis=1, keepdims=True))
        ),
        "centred over time": lambda s: s.right - s.right.mean(1, keepdims=True),
        "gate of the last": lambda s: s.right * jnp.tanh(s.features.query[:, -1:]),
        "reversed": lambda s: s.right[:, ::-1],
        "largest so far": lambda s: jax.lax.cummax(s.right, axis=1),
        "sum": lambda s: jnp.cumsum(s.right, axis=1),
        "neighbour's key": lambda s: s.right + jnp.roll(s.features.key, 1, axis=1),
    }
)


def earlier(s, steps=1):
    """The values of an earlier position, 0 before the first."""
    return jnp.pad(s.right, ((0, 0), (steps, 0), (0, 0), (0, 0)))[:, :-steps]


# 18. The values that are mixed are mixtures themselves.
family("hidden values", "stages_are_local", "values")(
    {
        "with the one before": lambda s: 0.9 * s.right + 0.1 * earlier(s),
        "the one before": earlier,
        "two before": lambda s: s.right + 0.01 * earlier(s, 2),
        "difference": lambda s: s.right - earlier(s),
        "with the next": lambda s: s.right + 0.1 * jnp.roll(s.right, -1, axis=1),
        "running sum": lambda s: s.right.cumsum(1),
        "running maximum": lambda s: jax.lax.cummax(s.right, axis=1),
        "centred": lambda s: s.right - s.right.mean(1, keepdims=True),
        "scaled by all": lambda s: (
            s.right / (1 + jnp.abs(s.right).sum(1, keepdims=True))
        ),
        "first added": lambda s: s.right + s.right[:, :1],
        "last position": lambda s: s.right.at[:, -1].add(s.right[:, 0]),
    }
)
