"""Measures the signature and held-out loss of one member, and its nulls by knobs."""

from typing import Any

import jax
import jax.numpy as jnp

from routers.base import Array, Geometry, Knobs
from routers.signature import signature
from routers.signature.nulls import VARIANTS, variants
from train.backbone import Backbone, cross_entropy

SEQUENCES_AT_ONCE = 8
"""Number of sequences that are measured at once, by `vmap`, which bounds the memory."""


def measure(
    model: Backbone,
    slot: str,
    params: Any,
    knobs: Knobs,
    geometry: Geometry,
    inputs: Array,
    targets: Array,
    rank_nulls: Array | bool = True,
) -> dict[str, Array]:
    """Measures one member on held-out sequences, a few at a time.

    Args:
      model: The network; static.
      slot: Slot whose routers are measured, ``"token"`` or ``"depth"``; static.
      params: The member's parameters.
      knobs: The member's knobs, named by slot.
      geometry: Positions of one sequence or graph.
      inputs: Tokens int32 ``[E, T]`` or features ``[E, T, F]``.
      targets: int32 ``[E, T]``.
      rank_nulls: Whether to measure the effective rank of the nulls too; it is NaN
        otherwise.

    Returns:
      ``loss/held_out`` and ``accuracy/held_out`` as ``[R, E]``, and every measure of
      `signature` as ``[R, E, L, H]``; R counts `routers.signature.nulls.VARIANTS`, and
      L counts the uses of routers of the slot.
    """

    def on_sequence(
        knobs: Knobs, ranked: Array, one: Array, target: Array
    ) -> dict[str, Array]:
        outputs: Any = model.apply({"params": params}, one[None], geometry, knobs)
        logits, slots = outputs
        on, traces = slots[slot]
        layers = [
            signature(trace.routing, trace.output, on, ranked) for trace in traces
        ]
        measures = jax.tree.map(lambda *values: jnp.stack(values), *layers)
        return {
            "loss/held_out": cross_entropy(logits, target[None]),
            "accuracy/held_out": accuracy(logits, target[None]),
            **measures,
        }

    def of_variant(row: tuple[Knobs, Array]) -> dict[str, Array]:
        return jax.lax.map(
            lambda pair: on_sequence(*row, *pair),
            (inputs, targets),
            batch_size=min(SEQUENCES_AT_ONCE, inputs.shape[0]),
        )

    ranked = jnp.stack([jnp.asarray(name == "") | rank_nulls for name in VARIANTS])
    return jax.lax.map(of_variant, (variants(knobs), ranked))


def accuracy(logits: Array, targets: Array) -> Array:
    """Share of the known targets ``[B, T]`` to which the largest logit belongs."""
    known = targets >= 0
    right = jnp.argmax(logits, axis=-1) == targets
    return jnp.sum(right & known) / jnp.maximum(jnp.sum(known), 1)


def routing_example(
    model: Backbone,
    slot: str,
    params: Any,
    knobs: Knobs,
    geometry: Geometry,
    inputs: Array,
) -> Array:
    """Routing matrices ``[L, H, T, S]`` of one input ``[T, ...]``."""
    outputs: Any = model.apply({"params": params}, inputs[None], geometry, knobs)
    _, traces = outputs[1][slot]
    return jnp.stack([trace.routing.weights[0] for trace in traces])
