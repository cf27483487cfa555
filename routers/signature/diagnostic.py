"""Diagnostic nulls: routing with one property of keys, logits or order destroyed.

They explain *why* there is a hub and never decide whether there is one: a dominant key
makes a hub wherever it is shuffled to. A change acts on a router's features after
``project``, so everything downstream is the same code.

Features hold keys and queries as ``[B, S, ..., K]``. `Router.roles` declares where.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from routers.base import Array, Router, read_role

DEVIATIONS = (1.0, 2.0, 4.0, 8.0)
"""Standard deviations of the i.i.d. logits."""


def norms_and_directions(x: Array) -> tuple[Array, Array]:
    """Norms ``[..., 1]`` and unit vectors of ``x [..., K]``; zero vectors stay zero."""
    x = x.astype(jnp.float32)
    norms = jnp.linalg.norm(x, axis=-1, keepdims=True)
    return norms, x / jnp.where(norms > 0, norms, 1.0)


def shuffle_sources(key: Array, x: Array) -> Array:
    """``x [B, S, ...]`` with its sources in a random order, the same for all of B."""
    return x[:, jax.random.permutation(key, x.shape[1])]


def shuffle_norms(key: Array, x: Array) -> Array:
    """``x`` with its norms moved to other sources; directions stay."""
    norms, directions = norms_and_directions(x)
    return shuffle_sources(key, norms) * directions


def shuffle_directions(key: Array, x: Array) -> Array:
    """``x`` with its directions moved to other sources; norms stay."""
    norms, directions = norms_and_directions(x)
    return norms * shuffle_sources(key, directions)


def gaussian_directions(key: Array, x: Array) -> Array:
    """``x`` with its directions drawn from a standard Gaussian; norms stay."""
    norms, _ = norms_and_directions(x)
    _, directions = norms_and_directions(jax.random.normal(key, x.shape))
    return norms * directions


def random_routing(key: Array, mask: Array, heads: int, deviation: Array) -> Array:
    """Softmax of i.i.d. Gaussian logits over the allowed sources, ``[H, T, S]``.

    These are sharp rows without a sink: standard deviations 1/2/4/8 raise the mean
    largest weight of a row (causal, T = 64) to .22/.42/.67/.83, while no column stands
    out.
    """
    logits = deviation * jax.random.normal(key, (heads, *mask.shape))
    weights = jax.nn.softmax(jnp.where(mask[None], logits, -jnp.inf), axis=-1)
    return jnp.where(mask[None], weights, 0.0)


def replace_role(features: Any, path: str, value: Array) -> Any:
    """The features with the field at a dotted path replaced, in the field's dtype."""
    name, _, rest = path.partition(".")
    field = getattr(features, name)
    new = replace_role(field, rest, value) if rest else value.astype(field.dtype)
    return features.replace(**{name: new})


CHANGES: Mapping[str, tuple[Callable[[Array, Array], Array], tuple[str, ...]]] = {
    "shuffled_keys": (shuffle_sources, ("key", "channel_key")),
    "shuffled_key_norms": (shuffle_norms, ("key",)),
    "shuffled_key_directions": (shuffle_directions, ("key",)),
    "gaussian_keys": (gaussian_directions, ("key", "query")),
    "permuted_depth": (shuffle_sources, ("depth_key", "depth_value")),
}
"""Change of one array for each null, and the roles it acts on where they exist."""


def undefined(router: type[Router], null: str) -> str | None:
    """Reason why a null of `CHANGES` cannot be built for a router; None if it can.

    A change of keys needs the role ``key``; where no vector is needed, ``channel_key``
    is sufficient.
    """
    name, roles = router.__name__, router.roles
    _, acted_on = CHANGES[null]
    if null == "permuted_depth":
        return None if "depth_key" in roles else f"{name} does not route over depth"
    if "key" in roles or ("channel_key" in acted_on and "channel_key" in roles):
        return None
    if "channel_key" in roles:
        return f"{name}: a key is one number per channel, without norm and direction"
    return f"{name} has no keys"


def change(null: str, roles: Mapping[str, str], features: Any, key: Array) -> Any:
    """The features of one router under one null.

    Args:
      null: Name in `CHANGES` that is not `undefined` for the router.
      roles: The router's `Router.roles`.
      features: Features from ``project``.
      key: PRNG key. A shuffle moves all roles of one call alike; draws are independent
        between roles.
    """
    function, acted_on = CHANGES[null]
    for index, role in enumerate(role for role in acted_on if role in roles):
        path = roles[role]
        own = key if function is shuffle_sources else jax.random.fold_in(key, index)
        features = replace_role(
            features, path, function(own, read_role(features, path))
        )
    return features
