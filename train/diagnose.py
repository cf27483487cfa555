"""Measures the full signature of one member under every diagnostic null.

The variants are rows of arrays that pass through one compiled forward pass, one after
another, so neither compile time nor memory grows with their number. A null makes its
change by intercepting the routers' own stages: ``project`` for features, ``route`` for
logits. The change is made in every layer, and later layers read what earlier layers
computed from it, as they do under the nulls that are made by knobs.
"""

import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from routers.base import Array, Geometry, Knobs, Router, Routing
from routers.signature.alignment import power_directions
from routers.signature.diagnostic import change, random_routing, read_role
from routers.signature.full import (
    POSITIONS,
    Inside,
    full_signature,
    stream_signature,
)
from routers.signature.nulls import Variant, scaled_knobs
from routers.signature.reduction import HUB
from train.backbone import Backbone

AWARENESS = "norm_awareness"
"""Knob at whose values 0 and 1 the routing is also measured, if a router has it."""


class Sources(struct.PyTreeNode):
    """Parameters and geometries from which the variants choose.

    Attributes:
      params: The member's parameters, those of the same seed trained at the neutral
        value, and the member's at step 0.
      geometry: Positions of one sequence or graph.
      rewired: Positions of the rewired graph; for sequences the same as ``geometry``.
    """

    params: tuple[Any, Any, Any]
    geometry: Geometry
    rewired: Geometry


def diagnose(
    model: Backbone,
    slot: str,
    variants: tuple[Variant, ...],
    sources: Sources,
    knobs: Knobs,
    inputs: Array,
    key: Array,
) -> dict[str, Array]:
    """Measures one member under every variant, one sequence at a time.

    Args:
      model: The network; static.
      slot: Slot whose routers are measured; static.
      variants: Variants from `routers.signature.nulls.diagnostic_variants`; static.
      sources: Parameters and geometries from which the variants choose.
      knobs: The member's knobs, named by slot.
      inputs: Tokens int32 ``[E, T]`` or features ``[E, T, F]``.
      key: PRNG key of all shuffles and draws; it is split over the sequences.

    Returns:
      Every measure of `full_signature` as ``[R, E, L, H]``, where L counts the uses of
      routers of the slot, and every measure of `stream_signature` as
      ``[R, E, L + 1, H]`` or ``[R, E, L + 1, 1]``, where L counts the layers of the
      network; R counts the variants.
    """
    changes = sorted({variant.change for variant in variants} - {""})
    rows = {
        "knobs": scaled_knobs(
            knobs,
            tuple(variant.content for variant in variants),
            tuple(variant.brake for variant in variants),
        ),
        "params": jnp.asarray([variant.params for variant in variants]),
        "change": jnp.asarray(
            [changes.index(v.change) + 1 if v.change else 0 for v in variants]
        ),
        "deviation": jnp.asarray([variant.deviation for variant in variants]),
        "shuffled": jnp.asarray([variant.shuffled for variant in variants]),
        "rewired": jnp.asarray([variant.rewired for variant in variants]),
    }

    # Taken once for each set of parameters, not for every sequence and variant.
    directions = [
        _directions(model, slot, params, knobs, sources.geometry, inputs[:1])
        for params in sources.params
    ]

    def of_variant(row: dict[str, Any]) -> dict[str, Array]:
        choices = [
            lambda pair=pair: pair
            for pair in zip(sources.params, directions, strict=True)
        ]
        params, leading = jax.lax.switch(row["params"], choices)
        geometry: Geometry = jax.tree.map(
            lambda plain, other: jnp.where(row["rewired"], other, plain),
            sources.geometry,
            sources.rewired,
        )

        def on_sequence(pair: tuple[Array, Array]) -> dict[str, Array]:
            one, own = pair
            order = jax.random.permutation(own, one.shape[0])
            order = jnp.where(row["shuffled"], order, jnp.arange(one.shape[0]))
            stages = _Stages(slot, tuple(changes), row["change"], row["deviation"], own)
            with nn.intercept_methods(stages):
                outputs: Any = model.apply(
                    {"params": params}, one[order][None], geometry, row["knobs"]
                )
            _, slots, stream = outputs
            on, traces = slots[slot]
            insides = [Inside()] * len(traces)
            if on.kind in POSITIONS:
                insides = [
                    inside.replace(directions=vectors)
                    for inside, vectors in zip(stages.insides, leading, strict=True)
                ]
            mixed = row["deviation"] == 0
            layers = [
                full_signature(trace.routing, trace.output, on, inside, mixed)
                for trace, inside in zip(traces, insides, strict=True)
            ]
            measures = jax.tree.map(lambda *values: jnp.stack(values), *layers)
            hub = measures[HUB] if on.kind in POSITIONS else None
            return measures | stream_signature(stream[:, 0], hub, mixed)

        return jax.lax.map(on_sequence, (inputs, jax.random.split(key, len(inputs))))

    return jax.lax.map(of_variant, rows)


def _directions(
    model: Backbone,
    slot: str,
    params: Any,
    knobs: Knobs,
    geometry: Geometry,
    inputs: Array,
) -> list[Array | None]:
    """Power-method directions ``[2, H, D]`` for every use of a router, or None.

    They are None for a router that has no circuits.
    """
    # Keyed by the router's path, because `mix` may call `route` once more.
    found: dict[tuple[str, ...], Array | None] = {}

    def look(
        stage: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        context: nn.module.InterceptorContext,
    ) -> Any:
        router = context.module
        ours = isinstance(router, Router) and router.slot == slot
        if ours and context.method_name == "route":
            circuits = router.circuits()
            known = None if circuits is None else power_directions(circuits)
            found[router.path] = known
        return stage(*args, **kwargs)

    with nn.intercept_methods(look):
        # The outputs are not used, so this call is compiled away.
        model.apply({"params": params}, inputs, geometry, knobs)
    return list(found.values())


class _Stages:
    """Intercepts the stages of one slot's routers, to change them and to look inside.

    Attributes:
      insides: What was seen of every use of a router, in the order of the calls.
    """

    def __init__(
        self,
        slot: str,
        changes: tuple[str, ...],
        index: Array,
        deviation: Array,
        key: Array,
    ) -> None:
        """Sets what is changed.

        Args:
          slot: Slot whose routers are intercepted.
          changes: Names of the changes of features.
          index: Number of the change to make, from 1; 0 makes none.
          deviation: Standard deviation of the i.i.d. logits that replace the routing;
            0 keeps the routing.
          key: PRNG key of all shuffles and draws.
        """
        self._slot, self._changes, self._index = slot, changes, index
        self._deviation, self._key = deviation, key
        self._insides: dict[tuple[str, ...], Inside] = {}

    @property
    def insides(self) -> list[Inside]:
        """What was seen of every use of a router, in the order of the calls."""
        return list(self._insides.values())

    def __call__(
        self,
        stage: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        context: nn.module.InterceptorContext,
    ) -> Any:
        router, method = context.module, context.method_name
        if not isinstance(router, Router) or router.slot != self._slot:
            return stage(*args, **kwargs)
        own = jax.random.fold_in(
            self._key, zlib.crc32("/".join(router.path).encode()) % 2**31
        )
        if method == "forward":
            # In one piece, even if training would go segment by segment.
            x, geometry, knobs = args
            return router.mix(router.project(x), geometry, knobs)
        if method == "project":
            return self._changed(router, stage(*args, **kwargs), own)
        if method == "route":
            routing = stage(*args, **kwargs)
            self._insides[router.path] = _inside(router, stage, *args)
            return self._drawn(routing, args[1], own)
        return stage(*args, **kwargs)

    def _changed(self, router: Router, features: Any, key: Array) -> Any:
        changed = [
            partial(change, name, router.roles, features, key) for name in self._changes
        ]
        return jax.lax.switch(self._index, [lambda: features, *changed])

    def _drawn(self, routing: Routing, geometry: Geometry, key: Array) -> Routing:
        heads = routing.weights.shape[1]
        if routing.weights.shape[2:] != geometry.mask.shape:
            return routing  # the rows are gathered from several calls
        drawn = random_routing(key, geometry.mask, heads, self._deviation)
        use = self._deviation > 0
        return routing.replace(weights=jnp.where(use, drawn[None], routing.weights))


def _inside(
    router: Router,
    route: Callable[..., Routing],
    features: Any,
    geometry: Geometry,
    knobs: Knobs,
) -> Inside:
    """What the router knows beyond its routing, from arguments of ``route``."""
    values, aware = None, None
    if "value" in router.roles:
        values = jnp.moveaxis(read_role(features, router.roles["value"])[0], 1, 0)
    if AWARENESS in router.knobs:
        aware = jnp.stack(
            [
                route(
                    features, geometry, {**knobs, AWARENESS: jnp.float32(value)}
                ).weights[0]
                for value in (0.0, 1.0)
            ]
        )
    return Inside(values=values, aware=aware)
