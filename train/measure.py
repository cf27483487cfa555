"""Signature and held-out loss of one member, with its knob-made nulls."""

from typing import Any

import jax
import jax.numpy as jnp

from routers.base import Array, Geometry, Knobs
from routers.signature import signature
from routers.signature.nulls import variants
from train.backbone import Backbone, next_token_loss

SEQUENCES_AT_ONCE = 8


def measure(
    model: Backbone,
    params: Any,
    knobs: Knobs,
    geometry: Geometry,
    tokens: Array,
    targets: Array,
) -> dict[str, Array]:
    """Measures one member on held-out sequences, a few at a time.

    Args:
      model: the network; static.
      params: its parameters.
      knobs: by slot.
      geometry: of one sequence.
      tokens: int32 ``[E, T]``.
      targets: int32 ``[E, T]``.

    Returns:
      ``loss/held_out [R, E]`` and every measure of `signature` as ``[R, E, L, H]``;
      R counts the `routers.signature.nulls.VARIANTS`.
    """

    def on_sequence(
        knobs: Knobs, sequence: Array, following: Array
    ) -> dict[str, Array]:
        outputs: Any = model.apply({"params": params}, sequence[None], geometry, knobs)
        logits, traces = outputs
        layers = [signature(t.routing, t.output, geometry) for t in traces]
        measures = jax.tree.map(lambda *values: jnp.stack(values), *layers)
        return {"loss/held_out": next_token_loss(logits, following[None]), **measures}

    def of_variant(knobs: Knobs) -> dict[str, Array]:
        return jax.lax.map(
            lambda pair: on_sequence(knobs, *pair),
            (tokens, targets),
            batch_size=min(SEQUENCES_AT_ONCE, tokens.shape[0]),
        )

    return jax.lax.map(of_variant, variants(knobs))


def routing_example(
    model: Backbone, params: Any, knobs: Knobs, geometry: Geometry, tokens: Array
) -> Array:
    """Routing matrices ``[L, H, T, S]`` of one sequence ``tokens [T]``."""
    outputs: Any = model.apply({"params": params}, tokens[None], geometry, knobs)
    _, traces = outputs
    return jnp.stack([trace.routing.weights[0] for trace in traces])
