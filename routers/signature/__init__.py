"""The collapse signature: concentration, collapse, norm stratification.

Every function takes the arrays of one sequence or graph, without a batch axis. Callers
map it over batches.
"""

from collections.abc import Mapping

import jax.numpy as jnp

from routers.base import Array, Geometry, Routing
from routers.signature import channels, concentration, norms

COLLAPSE = "collapse/rank_ratio"
HUB_KEY = "norms/hub_key_log_ratio"
VALUE_DRAIN = "norms/hub_value_log_ratio"
"""Measures that decide the second and the third part of the signature."""
HUB_WRITTEN = "norms/hub_written_log_ratio"

CHANNEL_HUB = "channels/hub_mass"
CHANNEL_SINKS = "channels/sink_rate"
"""Measures of the channels of a head, one by one; they decide nothing."""

CAUSAL = "causal"
ORDERED = (CAUSAL, "depth")
"""Geometry kinds with ordered sources. Hubs are sought in the first half of these."""


def signature(routing: Routing, geometry: Geometry) -> dict[str, Array]:
    """The criteria's measures of one routing, except `COLLAPSE`, on one sequence.

    The rank ratio needs what the router mixes, see `routers.signature.rank_ratio`.

    Args:
      routing: Routing with a leading batch axis of 1.
      geometry: Geometry of the sequence.

    Returns:
      Measures by slash name, each ``[H]``. Measures of key norms are absent where the
      router has no keys, those of value norms where it has no values or no output
      matrix, those of channels where the channels of a head share one matrix, and the
      sink rate where no source comes first.
    """
    weights = routing.weights[0]
    hub = concentration.hub(hub_importance(weights, geometry))
    return (
        concentration_of(weights, geometry)
        | norms_of(routing, hub)
        | channels_of(routing, geometry)
    )


def hub_importance(weights: Array, geometry: Geometry) -> Array:
    """Importance of the sources that can be hubs: of the first half, if ordered."""
    return _hubs_only(concentration.importance(weights, geometry.mask), geometry)


def _hubs_only(importance: Array, geometry: Geometry) -> Array:
    ordered = geometry.kind in ORDERED
    return concentration.first_half(importance) if ordered else importance


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


def norms_of(routing: Routing, hub: Array) -> dict[str, Array]:
    """Measures of the norms of a routing, each ``[H]``, given the hub of every head."""
    measures = {}
    if routing.key_norms is not None:
        keys = routing.key_norms[0]
        measures["norms/key_norm_cv"] = norms.variation(keys)
        measures[HUB_KEY] = norms.hub_log_ratio(keys, hub)
    if routing.value_norms is not None:
        measures[VALUE_DRAIN] = norms.hub_log_ratio(routing.value_norms[0], hub)
    if routing.written_norms is not None:
        measures[HUB_WRITTEN] = norms.hub_against_rest(routing.written_norms[0], hub)
    return measures


def channels_of(routing: Routing, geometry: Geometry) -> dict[str, Array]:
    """Measures of channels one by one, each ``[H]``; none where they share weights."""
    if routing.channel_mass is None:
        return {}
    mass = routing.channel_mass[0]
    importance = _hubs_only(concentration.mean_weight(mass, geometry.mask), geometry)
    return {
        CHANNEL_HUB: channels.largest(importance),
        CHANNEL_SINKS: channels.sink_rate(importance),
    }


REDUCE: Mapping[str, str] = {
    "concentration/hub_mass": "max",
    "concentration/excess": "max",
    "concentration/first_source_sinks": "mean",
    "concentration/hhi": "max",
    COLLAPSE: "min",
    "norms/key_norm_cv": "max",
    HUB_KEY: "absmax",
    VALUE_DRAIN: "min",
    HUB_WRITTEN: "min",
    CHANNEL_HUB: "max",
    CHANNEL_SINKS: "mean",
}
"""Reduction of a measure over layers and heads to one number per model.

It is the extreme that looks most like the signature, and every null takes the same
extreme. Sink rates are means over layers and heads (Gu et al. 2025)."""

CONCENTRATION: Mapping[str, tuple[str, float]] = {
    "causal": ("concentration/hub_mass", 0.3),
    "graph": ("concentration/excess", 5.0),
    "depth": ("concentration/excess", 2.0),
    "streams": ("concentration/excess", 2.0),
}
"""Criterion for concentration by geometry kind: a measure and its threshold."""

RANK_RATIO = 0.8
"""Threshold below which the rank ratio counts as collapsed."""

STRATIFIED = 1.5
"""Factor by which the hub's key norm must differ from the median, or its value norm
lie below it."""
