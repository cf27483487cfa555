"""Measures the rank ratio of every use of a router, by looking into its `route` stage.

Over positions there is one ratio for every layer and head. Over depth the queries are
the readings of one token: the ratio of a model is the median over a few tokens.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from routers.base import Array, Geometry, Knobs, Router
from routers.signature import hub_importance
from routers.signature.collapse import effective_rank
from routers.signature.concentration import hub
from routers.signature.rank_ratio import (
    Mixed,
    deal,
    mix,
    mixed_of,
    rank_ratio,
    row_orders,
)
from train.backbone import Backbone

RANKED = 4
"""Number of sequences on which the ratio is measured. Its singular values cost more
than all other measures."""
TOKENS = 8
"""Number of tokens at which the ratio over depth is taken."""


class Draws(struct.PyTreeNode):
    """Random orders of the sources, each with a leading axis of sequences.

    Attributes:
      key: PRNG keys, for routings whose sources are not those of the geometry.
      orders: From `row_orders`, ``[E, draws, T, S]``.
    """

    key: Array
    orders: Array


def draw_orders(geometry: Geometry, sequences: int) -> Draws:
    """Draws the orders for the first `RANKED` of a number of sequences.

    They are the same for all members, nulls and steps, which are compared; to draw them
    takes longer than to use them once.
    """
    mask = geometry.mask if geometry.mask.ndim == 2 else geometry.mask[0]
    keys = jax.random.split(jax.random.key(0), RANKED)[:sequences]
    return Draws(keys, jax.vmap(lambda key: row_orders(key, mask))(keys))


def rank_ratios(
    model: Backbone,
    slot: str,
    params: Any,
    knobs: Knobs,
    geometry: Geometry,
    inputs: Array,
    draws: Draws,
) -> Array:
    """Rank ratios ``[L, H]`` on one input ``[T, ...]``; NaN where undefined.

    Arguments as in `train.measure.measure`, with the draws of this input.
    """
    seen = _Mixtures(slot)
    with nn.intercept_methods(seen):
        outputs: Any = model.apply({"params": params}, inputs[None], geometry, knobs)
    on, traces = outputs[1][slot]
    if slot == "depth":
        return _over_depth(list(seen.mixed.values()), draws.key)[None, None]

    def of_layer(mixed: Mixed, weights: Array) -> Array:
        hubs = hub(hub_importance(weights, on))
        of_head = jax.vmap(lambda m, v, h: rank_ratio(m, v, draws.orders, h))
        return of_head(mixed.matrix[0], mixed.values[0], hubs)

    return jnp.stack(
        [
            of_layer(mixed, trace.routing.weights[0])
            for mixed, trace in zip(seen.mixed.values(), traces, strict=True)
        ]
    )


def router_of(model: Backbone, slot: str) -> type[Router]:
    """The class of the routers of a slot."""
    make = model.token if slot == "token" else model.depth
    if make is None:
        raise ValueError(f"the network has no routers in the {slot} slot")
    return type(make(width=model.config.width, parent=None))


def _over_depth(readings: list[Mixed], key: Array) -> Array:
    """The median over tokens; every reading is a row, with sources of its own."""
    if len(readings) < 2:
        return jnp.float32(jnp.nan)  # one row has no rank to lose
    tokens = readings[0].matrix.shape[0]
    chosen = jnp.linspace(0, tokens - 1, min(TOKENS, tokens)).astype(int)

    def of_reading(mixed: Mixed, key: Array) -> Array:
        matrix, values = mixed.matrix[chosen, 0], mixed.values[chosen, 0]
        plain = jnp.arange(matrix.shape[-1], dtype=jnp.int32)[None, None]
        orders = row_orders(key, jnp.ones(plain.shape[1:], bool))
        return jax.vmap(lambda order: jax.vmap(mix)(deal(matrix, order), values))(
            jnp.concatenate([plain, orders])
        )[:, :, 0]

    keys = jax.random.split(key, len(readings))
    rows = [of_reading(m, k) for m, k in zip(readings, keys, strict=True)]
    drawn = jnp.stack(rows, axis=2)  # [1 + draws, tokens, readings, D]
    ranks = jax.lax.map(lambda of_draw: jax.lax.map(effective_rank, of_draw), drawn)
    return jnp.nanmedian(ranks[0] / jnp.median(ranks[1:], axis=0))


class _Mixtures:
    """Collects what every router of a slot mixes, in the order of the calls."""

    def __init__(self, slot: str) -> None:
        """Starts with nothing; ``slot`` is the slot of the routers."""
        self._slot = slot
        self.mixed: dict[tuple[str, ...], Any] = {}

    def __call__(
        self,
        stage: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        context: nn.module.InterceptorContext,
    ) -> Any:
        """Calls a stage; of `route` it also keeps what the router mixes."""
        router = context.module
        found = stage(*args, **kwargs)
        if not isinstance(router, Router) or router.slot != self._slot:
            return found
        if context.method_name == "route" and router.path not in self.mixed:
            features, geometry, knobs = args
            self.mixed[router.path] = None  # a measured matrix may call `route` again
            mixed = mixed_of(router, features, found, geometry, knobs)
            self.mixed[router.path] = mixed
        return found
