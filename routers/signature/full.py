"""The full set of measures of one sequence, by slash name: of a layer, of the stream.

They are computed once, at the end of a sweep. `routers.signature.signature` is the part
that the criterion needs at every measured step. docs/measures.md lists all measures.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct

from routers.base import Array, Geometry, Routing
from routers.signature import (
    CAUSAL,
    alignment,
    channels_of,
    collapse,
    concentration,
    concentration_of,
    contribution,
    graphs,
    hub_importance,
    norms,
    norms_of,
    spectrum,
)
from routers.signature.reduction import HUB

GRAPH = "graph"
POSITIONS = (CAUSAL, GRAPH)
"""Geometry kinds whose sources are the rows of the routed representation."""


class Inside(struct.PyTreeNode):
    """Internal arrays of a router beyond its `Routing`; None where undefined.

    Attributes:
      values: Values ``[H, S, K]``, such that a head's output is ``weights @ values``.
      directions: Unit vectors ``[2, H, D]`` from `alignment.power_directions`.
      aware: Routing weights ``[2, H, T, S]`` at norm awareness 0 and 1.
    """

    values: Array | None = None
    directions: Array | None = None
    aware: Array | None = None


def full_signature(
    routing: Routing,
    output: Array,
    geometry: Geometry,
    inside: Inside,
    mixed: Array | bool = True,
) -> dict[str, Array]:
    """All measures of one layer on one sequence or graph.

    Args:
      routing: Routing with a leading batch axis of 1.
      output: Routed representation ``[1, T, D]``.
      geometry: Geometry of the sequence.
      inside: Internal arrays of the router, without a batch axis.
      mixed: Whether the output was mixed by this routing. If not, only the measures of
        the routing itself are computed and the others are NaN.

    Returns:
      Measures by slash name, each ``[H]``; those of the whole layer are repeated
      over heads. Measures that the router or geometry does not define are absent.
    """
    rest = functools.partial(_of_output, routing, output, geometry, inside)
    return _of_routing(routing, geometry) | _if_mixed(mixed, rest)


def stream_signature(
    stream: Array, hub: Array | None = None, mixed: Array | bool = True
) -> dict[str, Array]:
    """All measures of the residual stream of one sequence or graph, at every depth.

    The hub at a depth is that of the router that reads this stream; at the last one,
    which no router reads, that of the last router.

    Args:
      stream: Residual stream ``[L + 1, T, D]``, from the embedding on.
      hub: Position that is the hub of each layer and head, ``[L, H]``; None if sources
        are not positions.
      mixed: Whether the stream was computed with the routing that is measured. If not,
        all measures are NaN.

    Returns:
      Measures by slash name: ``[L + 1, 1]``, or ``[L + 1, H]`` where they depend on the
      hub. Those that compare the hub with other positions are absent without a hub.
    """

    def compute() -> dict[str, Array]:
        measures = {
            "stream/massive_activation": jax.vmap(norms.massive_activation)(stream),
            "stream/matrix_entropy": jax.vmap(collapse.matrix_entropy)(stream),
        }
        measures = {name: value[:, None] for name, value in measures.items()}
        if hub is None:
            return measures
        readers = jnp.concatenate([hub, hub[-1:]])
        heads = (*readers.shape, stream.shape[1])  # [L + 1, H, T]
        for name, function in (
            ("hub_feature_norm", norms.feature_norm),
            ("hub_negative_aware_norm", norms.negative_aware_norm),
        ):
            of_rows = jnp.broadcast_to(jax.vmap(function)(stream)[:, None], heads)
            apart = jax.vmap(norms.hub_against_rest)(of_rows, readers)
            measures[f"stream/{name}"] = apart
        return measures

    return _if_mixed(mixed, compute)


def _if_mixed(
    mixed: Array | bool, compute: Callable[[], dict[str, Array]]
) -> dict[str, Array]:
    """What a function computes, or NaN in its place without the cost."""
    nothing = jax.tree.map(
        lambda value: jnp.full(value.shape, jnp.nan, value.dtype),
        jax.eval_shape(compute),
    )
    return jax.lax.cond(mixed, compute, lambda: nothing)


def _of_routing(routing: Routing, geometry: Geometry) -> dict[str, Array]:
    weights = routing.weights[0]
    measures = concentration_of(weights, geometry)
    diagonal = concentration.diagonal_mass(weights)
    return measures | {
        HUB: concentration.hub(hub_importance(weights, geometry)),
        "concentration/participation": concentration.participation(weights),
        "concentration/perplexity": concentration.perplexity(weights),
        "concentration/gini": concentration.gini(weights),
        "concentration/row_peak": concentration.row_peak(weights),
        "concentration/row_entropy": concentration.row_entropy(weights, geometry.mask),
        "concentration/diagonal_mass": diagonal,
        "concentration/sink_minus_diagonal": measures["concentration/hub_mass"]
        - diagonal,
        "spectrum/ratio": spectrum.spectral_ratio(weights),
    }


def _of_output(
    routing: Routing, output: Array, geometry: Geometry, inside: Inside
) -> dict[str, Array]:
    weights, x = routing.weights[0], output[0].astype(jnp.float32)
    hub = concentration.hub(hub_importance(weights, geometry))
    layer = _forms(x, geometry)
    measures = {name: value + 0 * hub for name, value in layer.items()}
    if geometry.kind in POSITIONS and x.shape[0] > 1:
        measures |= _without_hub(x, hub, geometry)
    measures |= _of_norms(routing, weights, hub, geometry)
    # Random logits replace the weights of heads, which says nothing about channels.
    measures |= channels_of(routing, geometry)
    return measures | _of_inside(inside, weights, x, hub)


def _collapse_of(x: Array, prefix: str = "collapse") -> dict[str, Array]:
    measures = {
        **collapse.ranks(x),
        "participation_ratio": collapse.participation_ratio(x),
        "mean_cosine": collapse.mean_cosine(x),
        "rank_one_residual": collapse.rank_one_residual(x),
    }
    return {f"{prefix}/{name}": value for name, value in measures.items()}


def _graph_of(x: Array, edges: Array, prefix: str = "collapse") -> dict[str, Array]:
    measures = {
        "dirichlet_energy": graphs.dirichlet_energy(x, edges),
        "relative_dirichlet_energy": graphs.relative_dirichlet_energy(x, edges),
        "mean_average_distance": graphs.mean_average_distance(x, edges),
    }
    return {f"{prefix}/{name}": value for name, value in measures.items()}


def _forms(x: Array, geometry: Geometry) -> dict[str, Array]:
    """Collapse of ``x`` as it is, and with all rows scaled to length 1, as scalars."""
    measures: dict[str, Array] = {}
    for form, prefix in (
        (x, "collapse"),
        (collapse.normalize_rows(x), "collapse/unit_rows"),
    ):
        measures |= _collapse_of(form, prefix)
        if geometry.kind == GRAPH:
            measures |= _graph_of(form, graphs.adjacency(geometry), prefix)
    return measures


def _without_hub(x: Array, hub: Array, geometry: Geometry) -> dict[str, Array]:
    """Collapse without the row of each head's hub ``[H]``."""

    def without(source: Array) -> dict[str, Array]:
        rest = collapse.without_row(x, source)
        measures = _collapse_of(rest, "collapse/without_hub")
        if geometry.kind == GRAPH:
            edges = collapse.without_row(graphs.adjacency(geometry), source)
            edges = collapse.without_row(edges.T, source).T
            measures |= _graph_of(rest, edges, "collapse/without_hub")
        return measures

    return jax.vmap(without)(hub)


def _of_norms(
    routing: Routing, weights: Array, hub: Array, geometry: Geometry
) -> dict[str, Array]:
    measures = norms_of(routing, hub)
    if routing.key_norms is not None:
        excess = concentration.excess_of_sources(weights, geometry.mask)
        correlation = norms.rank_correlation(routing.key_norms[0], excess)
        measures["norms/key_mass_correlation"] = correlation
    return measures


def _of_inside(
    inside: Inside, weights: Array, x: Array, hub: Array
) -> dict[str, Array]:
    measures: dict[str, Array] = {}
    if inside.values is not None:
        omega = contribution.contributions(weights, inside.values)
        measures |= {
            "contribution/hub_share": contribution.share_of_source(omega, hub),
            "contribution/output_length": contribution.output_length(
                weights, inside.values
            ),
        }
    if inside.directions is not None:
        for name, of_heads in zip(
            ("left_vector", "eigenvector"), inside.directions, strict=True
        ):
            aligned = jax.vmap(alignment.alignment, (None, 0))(x, of_heads)
            measures[f"alignment/{name}"] = aligned
    if inside.aware is not None:
        divergence = norms.jensen_shannon(inside.aware[0], inside.aware[1])
        measures["norms/awareness_divergence"] = divergence
    return measures
