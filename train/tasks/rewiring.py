"""Rewires a graph at random, so that every node keeps its degree.

Reference: Maslov & Sneppen 2002, double edge swaps (Science 296).
"""

import numpy as np

from routers.base import Geometry
from train.tasks.graphs import hop_distances

SWAPS_PER_EDGE = 10
"""Number of swaps that are attempted for each edge."""


def rewire(geometry: Geometry, seed: int) -> Geometry:
    """The geometry of a graph with the same degrees and otherwise random edges.

    Args:
      geometry: Geometry of an undirected graph, ``[N, N]``.
      seed: Seed of the swaps.

    Returns:
      Hop distances and mask of the rewired graph, up to the same number of hops.
    """
    distance, mask = np.asarray(geometry.distance), np.asarray(geometry.mask)
    adjacency = swap_edges(mask & (distance == 1), np.random.default_rng(seed))
    return hop_distances(adjacency, int(distance[mask].max()))


def swap_edges(adjacency: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Swaps the ends of random pairs of edges, from ``a-b, c-d`` to ``a-d, c-b``.

    Args:
      adjacency: Adjacency, bool ``[N, N]``, symmetric and without self-loops.
      generator: Generator of the random pairs.

    Returns:
      An adjacency with the same degrees. A pair whose swap would make a self-loop or a
      double edge is left as it is, so a complete graph does not change.
    """
    adjacency = adjacency.copy()
    edges = np.argwhere(np.triu(adjacency))
    attempts = SWAPS_PER_EDGE * len(edges)
    pairs = generator.integers(max(len(edges), 1), size=(attempts, 2))
    reversals = generator.random(attempts) < 0.5
    for (first, second), reverse in zip(pairs, reversals, strict=True):
        (a, b), (c, d) = edges[first], edges[second]
        if reverse:
            c, d = d, c
        if len({a, b, c, d}) < 4 or adjacency[a, d] or adjacency[c, b]:
            continue
        for i, j, linked in ((a, b, 0), (c, d, 0), (a, d, 1), (c, b, 1)):
            adjacency[i, j] = adjacency[j, i] = linked
        edges[first], edges[second] = (a, d), (c, b)
    return adjacency
