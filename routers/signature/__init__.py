"""The collapse signature: concentration, collapse, norm stratification.

Every function takes one sequence's (or graph's) arrays, without a batch axis, and is
mapped outside.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from routers.base import Array, Geometry, Routing
from routers.signature import collapse, concentration, norms

CAUSAL = "causal"
ORDERED = (CAUSAL, "depth")
"""Kinds whose sources come one after another; hubs are sought in the first half."""


def signature(
    routing: Routing, output: Array, geometry: Geometry, ranked: Array | bool = True
) -> dict[str, Array]:
    """All measures of one layer on one sequence.

    Args:
      routing: with leading batch axis of 1.
      output: the router's output ``[1, T, D]``, the routed representation.
      geometry: of the sequence.
      ranked: whether to take the effective rank, NaN otherwise; its singular values
        cost more than all else.

    Returns:
      Measures by slash name, each ``[H]``; those of the whole layer are repeated
      over heads. Key-norm measures are absent where the router has no keys, the
      sink rate where no source comes first.
    """
    weights = routing.weights[0]
    measures = concentration_of(weights, geometry)
    hub = concentration.hub(hub_importance(weights, geometry))
    rank = jax.lax.cond(
        ranked, collapse.effective_rank, lambda _: jnp.float32(jnp.nan), output[0]
    )
    measures["collapse/effective_rank"] = rank + 0 * hub
    if routing.key_norms is not None:
        measures |= stratification_of(routing.key_norms[0], hub)
    return measures


def hub_importance(weights: Array, geometry: Geometry) -> Array:
    """Importance of the sources that can be hubs; ordered: the first half."""
    importance = concentration.importance(weights, geometry.mask)
    if geometry.kind in ORDERED:
        importance = concentration.first_half(importance)
    return importance


def concentration_of(weights: Array, geometry: Geometry) -> dict[str, Array]:
    """The criterion's measures of a routing ``[H, T, S]`` alone, each ``[H]``."""
    importance = hub_importance(weights, geometry)
    excess = concentration.excess_of_sources(weights, geometry.mask)
    if geometry.kind in ORDERED:
        excess = concentration.first_half(excess)
    measures = {
        "concentration/hub_mass": concentration.hub_mass(importance),
        "concentration/excess": jnp.max(excess, axis=-1),
        "concentration/hhi": concentration.hhi(weights),
    }
    if geometry.kind == CAUSAL:
        sinks = concentration.first_source_sinks(importance)
        measures["concentration/first_source_sinks"] = sinks
    return measures


def stratification_of(key_norms: Array, hub: Array) -> dict[str, Array]:
    """The criterion's measures of key norms ``[H, S]``, each ``[H]``."""
    return {
        "norms/key_norm_cv": norms.variation(key_norms),
        "norms/hub_key_log_ratio": norms.hub_log_ratio(key_norms, hub),
    }


REDUCE: Mapping[str, str] = {
    "concentration/hub_mass": "max",
    "concentration/excess": "max",
    "concentration/first_source_sinks": "mean",
    "concentration/hhi": "max",
    "collapse/effective_rank": "min",
    "norms/key_norm_cv": "max",
    "norms/hub_key_log_ratio": "absmax",
}
"""How a measure of every layer and head becomes the model's one number: the most
signature-like, so that every null must take the same extreme; the sink rate is a
mean over layers and heads (Gu et al. 2025)."""

CONCENTRATION: Mapping[str, tuple[str, float]] = {
    "causal": ("concentration/hub_mass", 0.3),
    "graph": ("concentration/excess", 5.0),
    "depth": ("concentration/excess", 2.0),
    "streams": ("concentration/excess", 2.0),
}
"""What concentrated means for each geometry kind: a measure and its threshold."""

COLLAPSE = "collapse/effective_rank"
STRATIFICATION = "norms/key_norm_cv"
"""The measures that stand for the signature's other two parts."""
