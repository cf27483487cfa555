"""The collapse signature: concentration, collapse, norm stratification.

Every function takes the arrays of one sequence or graph, without a batch axis. Callers
map it over batches.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from routers.base import Array, Geometry, Routing
from routers.signature import collapse, concentration, norms

CAUSAL = "causal"
ORDERED = (CAUSAL, "depth")
"""Geometry kinds with ordered sources. Hubs are sought in the first half of these."""


def signature(
    routing: Routing, output: Array, geometry: Geometry, ranked: Array | bool = True
) -> dict[str, Array]:
    """All measures of one layer on one sequence.

    Args:
      routing: Routing with a leading batch axis of 1.
      output: Output of the router ``[1, T, D]``, the routed representation.
      geometry: Geometry of the sequence.
      ranked: Whether to compute the effective rank, which is NaN otherwise. Its
        singular values cost more than everything else.

    Returns:
      Measures by slash name, each ``[H]``; those of the whole layer are repeated
      over heads. Measures of key norms are absent where the router has no keys, and
      the sink rate where no source comes first.
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
    """Importance of the sources that can be hubs: of the first half, if ordered."""
    importance = concentration.importance(weights, geometry.mask)
    if geometry.kind in ORDERED:
        importance = concentration.first_half(importance)
    return importance


def concentration_of(weights: Array, geometry: Geometry) -> dict[str, Array]:
    """The criterion's measures of the weights ``[H, T, S]``, each ``[H]``."""
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
"""Reduction of a measure over layers and heads to one number per model.

It is the extreme that looks most like the signature, and every null takes the same
extreme. The sink rate is a mean over layers and heads (Gu et al. 2025)."""

CONCENTRATION: Mapping[str, tuple[str, float]] = {
    "causal": ("concentration/hub_mass", 0.3),
    "graph": ("concentration/excess", 5.0),
    "depth": ("concentration/excess", 2.0),
    "streams": ("concentration/excess", 2.0),
}
"""Criterion for concentration by geometry kind: a measure and its threshold."""

COLLAPSE = "collapse/effective_rank"
STRATIFICATION = "norms/key_norm_cv"
"""The measures that represent the other two parts of the signature."""
