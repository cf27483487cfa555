"""Measures the signature and held-out loss of one member, and its nulls by knobs."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from routers.base import Array, Geometry, Knobs
from routers.signature import CAUSAL, COLLAPSE, signature
from routers.signature.concentration import first_source_mass
from routers.signature.nulls import REAL, UNIFORM, VARIANTS, variants
from routers.signature.rank_ratio import why_unmixed
from routers.signature.reduction import FIRST_SOURCE
from train.backbone import IGNORED, Backbone, cross_entropy, surprise
from train.rank_ratios import Draws, draw_orders, rank_ratios, router_of
from train.residual import Trace
from train.tasks import Kind

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
    draws: Draws | None = None,
    kinds: Mapping[str, Kind] | None = None,
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
      rank_nulls: Whether to measure the rank ratio of the brake alone too; it is NaN
        otherwise. That of uniform routing is 1 by definition and not measured.
      draws: Random orders from `train.rank_ratios.draw_orders`, which depend on no
        member; drawn here if None.
      kinds: Kinds of the targets, from `train.tasks.kinds_of`, ``[E, T]`` each; no
        kind is measured apart if None.

    Returns:
      ``loss/held_out`` and ``accuracy/held_out`` as ``[R, E]``, those of `of_kinds`,
      and every measure of `signature` as ``[R, E, L, H]``; R counts
      `routers.signature.nulls.VARIANTS`, and L counts the uses of routers of the slot.
      The rank ratio is measured on the sequences that have draws and NaN on the others;
      it is absent where it is not defined.
    """
    router = router_of(model, slot)

    def on_sequence(
        knobs: Knobs, one: Array, target: Array, kinds: Mapping[str, Kind]
    ) -> dict[str, Array]:
        outputs: Any = model.apply({"params": params}, one[None], geometry, knobs)
        logits, slots, _ = outputs
        on, traces = slots[slot]
        layers = [signature(trace.routing, on) for trace in traces]
        measures = jax.tree.map(lambda *values: jnp.stack(values), *layers)
        return {
            "loss/held_out": cross_entropy(logits, target[None]),
            "accuracy/held_out": accuracy(logits, target[None]),
            **measures,
            **of_kinds(kinds, surprise(logits[0], target), target, on, traces),
        }

    def ratios(knobs: Knobs, ranked: Array) -> Array:
        """Rank ratios ``[E, L, H]``, one sequence at a time."""

        def of_sequence(pair: tuple[Array, Draws]) -> Array:
            return rank_ratios(model, slot, params, knobs, geometry, *pair)

        kept = draws or draw_orders(geometry, len(inputs))
        pairs = (inputs[: len(kept.key)], kept)
        shape = jax.eval_shape(of_sequence, jax.tree.map(lambda x: x[0], pairs)).shape
        nothing = jnp.full(shape, jnp.nan, jnp.float32)
        found = jax.lax.map(
            lambda pair: jax.lax.cond(ranked, of_sequence, lambda _: nothing, pair),
            pairs,
        )
        rest = jnp.full((len(inputs) - len(found), *shape), jnp.nan, jnp.float32)
        return jnp.concatenate([found, rest])

    def of_variant(row: tuple[Knobs, Array]) -> dict[str, Array]:
        knobs, ranked = row
        measures = jax.lax.map(
            lambda pair: on_sequence(knobs, *pair),
            (inputs, targets, kinds or {}),
            batch_size=min(SEQUENCES_AT_ONCE, inputs.shape[0]),
        )
        if why_unmixed(router) is None:
            measures[COLLAPSE] = ratios(knobs, ranked)
        return measures

    ranked = jnp.stack(
        [
            (name != UNIFORM) & (jnp.asarray(name == REAL) | rank_nulls)
            for name in VARIANTS
        ]
    )
    measures = jax.lax.map(of_variant, (variants(knobs), ranked))
    if COLLAPSE in measures:
        found = measures[COLLAPSE]
        one = jnp.where(jnp.isnan(found[VARIANTS.index(REAL)]), jnp.nan, 1.0)
        measures[COLLAPSE] = found.at[VARIANTS.index(UNIFORM)].set(one)
    return measures


def of_kinds(
    kinds: Mapping[str, Kind],
    surprises: Array,
    targets: Array,
    geometry: Geometry,
    traces: Sequence[Trace],
) -> dict[str, Array]:
    """Measures of every kind of targets apart, on one sequence.

    Args:
      kinds: Kinds by name, ``[T]`` each.
      surprises: Cross-entropy of every target, ``[T]``.
      targets: int32 ``[T]``.
      geometry: Geometry of the traces.
      traces: The uses of routers of the measured slot.

    Returns:
      ``loss/held_out/KIND``, the mean cross-entropy, and where the true distribution is
      known ``loss/excess/KIND``, what it exceeds the surprise under that distribution
      by, both in nats and scalar. On causal geometry `FIRST_SOURCE` ``/KIND``, the mean
      weight of the first source over the queries of these targets, ``[L, H]``. All are
      NaN where the sequence has no target of the kind.
    """
    measures = {}
    for name, kind in kinds.items():
        counted = kind.chosen & (targets != IGNORED)
        measures[f"loss/held_out/{name}"] = jnp.mean(surprises, where=counted)
        if kind.surprise is not None:
            excess = jnp.mean(surprises - kind.surprise, where=counted)
            measures[f"loss/excess/{name}"] = excess
        if geometry.kind == CAUSAL:
            measures[f"{FIRST_SOURCE}/{name}"] = jnp.stack(
                [first_source_mass(t.routing.weights[0], kind.chosen) for t in traces]
            )
    return measures


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
