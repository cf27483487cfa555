"""Passes windows of text through one layer of a published model, and measures it.

A published model is read layer by layer (`routers.pretrained`), so it is measured layer
by layer. The layer is taken apart at the stages of its router: a null changes features
after ``project``, and everything that follows is the same code. The change is made in
every layer, and later layers read what earlier, changed ones wrote.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from routers.base import Array, Geometry, Knobs, Routing, neutral_knobs
from routers.pretrained import Model, Params
from routers.selective_ssm import SelectiveSSM
from routers.signature import COLLAPSE, hub_importance, norms, signature
from routers.signature.concentration import hub
from routers.signature.diagnostic import CHANGES, change, undefined
from routers.signature.full import stream_signature
from routers.signature.rank_ratio import mixed_of, rank_ratio, why_unmixed
from routers.signature.reduction import HUB
from routers.ssd import SSD
from routers.state_space import KNOBS, factor_means, frozen_at
from train.backbone import cross_entropy
from train.measure import accuracy

WINDOWS_AT_ONCE = 4
"""Number of windows that pass through a layer together, which bounds the memory."""
UNTRAINED_SCALE = 0.02
"""Standard deviation of the matrices of an untrained network around its routers."""
FROZEN_AT = "the means over all positions of all windows, of each layer as published"
"""The constants in place of Delta, B and C where ``selectivity`` is below 1."""


class Change(struct.PyTreeNode):
    """What a null changes in the features of every router.

    Attributes:
      index: Number of the change, from 1, in the order of `changes_of`; 0 makes none.
      keys: PRNG keys of its shuffles and draws, one for each window, ``[W]``.
    """

    index: Array
    keys: Array


def changes_of(model: Model) -> tuple[tuple[str, ...], dict[str, str]]:
    """Names of the changes that exist for a model, and why the others do not."""
    router = type(model.router)
    why = {name: undefined(router, name) for name in CHANGES}
    made = tuple(name for name, reason in why.items() if reason is None)
    return made, {name: reason for name, reason in why.items() if reason is not None}


def pass_layer(
    model: Model,
    params: Params,
    stream: Array,
    geometry: Geometry,
    knobs: Knobs,
    made: Change,
    orders: Array,
    ranked: Array | bool = True,
) -> tuple[Array, dict[str, Array]]:
    """One layer, all windows.

    Args:
      model: The opened model; static.
      params: Weights of the layer, from `Model.read_layer`.
      stream: Residual stream before the layer, ``[W, T, D]``.
      geometry: Positions of one window.
      knobs: Value of every knob of the router, without a slot.
      made: What is changed.
      orders: Random orders of the sources, from `row_orders`, ``[draws, T, S]``.
      ranked: Whether to measure the rank ratio; it is NaN otherwise.

    Returns:
      The stream after the layer. And ``[W, H]``, or ``[W, 1]`` where there are no
      heads: every measure of `signature` and of the stream that the layer reads, and
      the index of the hub. The rank ratio is absent where the router has none.
    """
    own = {"params": params["router"]}
    apply: Any = partial(model.router.apply, own)
    names, _ = changes_of(model)
    roles = type(model.router).roles

    def stages(stream: Array, key: Array) -> tuple[Any, Routing]:
        features = apply(model.read(params, stream[None]), method="project")
        changed = [partial(change, name, roles, features, key) for name in names]
        features = jax.lax.switch(made.index, [lambda: features, *changed])
        return features, apply(features, geometry, knobs, method="route")

    def of_window(pair: tuple[Array, Array]) -> tuple[Array, dict[str, Array]]:
        stream, key = pair
        features, routing = stages(stream, key)
        y = apply(features, geometry, knobs, method="mix")
        after = model.write(params, stream[None], y)[0]
        hubs = hub(hub_importance(routing.weights[0], geometry))
        lengths = jnp.broadcast_to(
            norms.feature_norm(stream), (*hubs.shape, len(stream))
        )
        apart = {"stream/hub_feature_norm": norms.hub_against_rest(lengths, hubs)}
        apart[HUB] = hubs.astype(jnp.float32)
        return after, signature(routing, geometry) | measure_stream(stream) | apart

    def ratio(features: Any, routing: Routing) -> Array:
        mixed = apply(features, routing, geometry, knobs, method=mixed_of)
        hubs = hub(hub_importance(routing.weights[0], geometry))
        of_head = jax.vmap(lambda m, v, h: rank_ratio(m, v, orders, h))
        return of_head(mixed.matrix[0], mixed.values[0], hubs)

    def of_ranked(pair: tuple[Array, Array]) -> Array:
        features, routing = stages(*pair)
        unknown = jnp.full(routing.weights.shape[1:2], jnp.nan, jnp.float32)
        return jax.lax.cond(ranked, ratio, lambda *_: unknown, features, routing)

    pairs = stream, made.keys
    at_once = min(WINDOWS_AT_ONCE, len(stream))
    after, measures = jax.lax.map(of_window, pairs, batch_size=at_once)
    if why_unmixed(type(model.router)) is None:
        measures[COLLAPSE] = jax.lax.map(of_ranked, pairs)
    return after, measures


def freezes(model: Model, knobs: Mapping[str, float]) -> bool:
    """Whether knobs need constants that a published state space does not have."""
    return isinstance(model.router, SelectiveSSM | SSD) and any(
        knobs[name] != knob.neutral
        for name, knob in KNOBS.items()
        if name.startswith("selectivity")
    )


def average_layer(
    model: Model, params: Params, stream: Array, geometry: Geometry
) -> tuple[Array, dict[str, Array]]:
    """One layer of a state space as it is, and what its factors are on average.

    Args:
      model: The opened model; static.
      params: Weights of the layer.
      stream: Residual stream before the layer, ``[W, T, D]``.
      geometry: Positions of one window.

    Returns:
      The stream after the layer, and the means over positions of Delta (after
      softplus), B and C in every window, each with a leading axis W.
    """
    apply: Any = partial(model.router.apply, {"params": params["router"]})
    knobs = neutral_knobs(model.router)

    def of_window(stream: Array) -> tuple[Array, dict[str, Array]]:
        features = apply(model.read(params, stream[None]), method="project")
        y = apply(features, geometry, knobs, method="mix")
        return model.write(params, stream[None], y)[0], factor_means(features)

    at_once = min(WINDOWS_AT_ONCE, len(stream))
    return jax.lax.map(of_window, stream, batch_size=at_once)


def freeze(params: Params, means: Mapping[str, Array]) -> Params:
    """A layer whose frozen constants are the means of `average_layer` over windows."""
    router = params["router"]
    constants = frozen_at({name: jnp.mean(one, 0) for name, one in means.items()})
    typed = {name: new.astype(router[name].dtype) for name, new in constants.items()}
    return {**params, "router": {**router, **typed}}


def measure_stream(stream: Array) -> dict[str, Array]:
    """Measures of the residual stream ``[T, D]`` of one window, ``[1]`` each."""
    found = stream_signature(stream[None])
    return {name: values[0] for name, values in found.items()}


def predict(
    model: Model, params: Params, stream: Array, tokens: Array
) -> dict[str, Array]:
    """Loss, in nats per token, and accuracy of the prediction of every next token.

    Args:
      model: The opened model, one with logits; static.
      params: Weights of the output layer, from `Model.read_head`.
      stream: Residual stream after the last layer, ``[W, T, D]``.
      tokens: int32 ``[W, T]``.

    Returns:
      ``loss/held_out`` and ``accuracy/held_out``, ``[W]`` each.
    """

    def of_window(pair: tuple[Array, Array]) -> dict[str, Array]:
        stream, tokens = pair
        logits = model.logits(params, stream[None])[:, :-1]
        targets = tokens[None, 1:]
        return {
            "loss/held_out": cross_entropy(logits, targets),
            "accuracy/held_out": accuracy(logits, targets),
        }

    return jax.lax.map(of_window, (stream, tokens))


def untrained(
    model: Model, params: Params, stream: Array, geometry: Geometry, key: Array
) -> Params:
    """Weights of an untrained layer, in place of those that were read.

    The router starts as it does in a sweep. Around it matrices are normal with standard
    deviation `UNTRAINED_SCALE`, as in GPT-2 and its successors, gains of norms are 1
    and biases 0.

    Args:
      model: The opened model; static.
      params: The published weights; only their shapes and dtypes matter.
      stream: ``[W, T, D]``; only its shape matters.
      geometry: Positions of one window.
      key: PRNG key of this layer.
    """
    around = {name: part for name, part in params.items() if name != "router"}
    knobs = {name: jnp.float32(one.neutral) for name, one in model.router.knobs.items()}
    x = model.read(params, stream[:1])
    drawn = model.router.init(key, x, geometry, knobs)["params"]
    like = params["router"]
    router = jax.tree.map(lambda new, old: new.astype(old.dtype), drawn, like)
    return {"router": router, **redraw(around, jax.random.fold_in(key, 1))}


def redraw(params: Params, key: Array) -> Any:
    """Untrained weights of the shapes of a tree, around routers; see `untrained`."""
    leaves, tree = jax.tree.flatten_with_path(params)
    keys = jax.random.split(key, max(len(leaves), 1))

    def of_leaf(path: Any, leaf: Array, key: Array) -> Array:
        if leaf.ndim > 1:
            drawn = UNTRAINED_SCALE * jax.random.normal(key, leaf.shape)
            return drawn.astype(leaf.dtype)
        return jnp.full_like(leaf, path[-1].key.endswith(("gain", "norm")))

    drawn = [
        of_leaf(path, leaf, own) for (path, leaf), own in zip(leaves, keys, strict=True)
    ]
    return jax.tree.unflatten(tree, drawn)
