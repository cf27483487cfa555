"""Degree-preserving rewiring of a graph: who is linked changes, how often does not.

Reference: Maslov & Sneppen 2002, double edge swaps (Science 296).
"""

import numpy as np

from routers.base import Geometry
from train.tasks.graphs import hop_distances

SWAPS_PER_EDGE = 10


def rewire(geometry: Geometry, seed: int) -> Geometry:
    """The geometry of a graph with the same degrees and otherwise random edges.

    Args:
      geometry: of an undirected graph, ``[N, N]``.
      seed: of the swaps.

    Returns:
      Hop distances and mask, of the same reach as before.
    """
    distance, mask = np.asarray(geometry.distance), np.asarray(geometry.mask)
    adjacency = swap_edges(mask & (distance == 1), np.random.default_rng(seed))
    return hop_distances(adjacency, int(distance[mask].max()))


def swap_edges(adjacency: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Swaps ends of random pairs of edges, ``a-b, c-d`` to ``a-d, c-b``.

    Args:
      adjacency: bool ``[N, N]``, symmetric, without self-loops.
      generator: of the draws.

    Returns:
      The same degrees; a pair whose swap would make a loop or a double edge stays, so
      a complete graph comes back as it was.
    """
    adjacency = adjacency.copy()
    edges = np.argwhere(np.triu(adjacency))
    attempts = SWAPS_PER_EDGE * len(edges)
    pairs = generator.integers(max(len(edges), 1), size=(attempts, 2))
    turned = generator.random(attempts) < 0.5
    for (first, second), turn in zip(pairs, turned, strict=True):
        (a, b), (c, d) = edges[first], edges[second]
        if turn:
            c, d = d, c
        if len({a, b, c, d}) < 4 or adjacency[a, d] or adjacency[c, b]:
            continue
        for i, j, linked in ((a, b, 0), (c, d, 0), (a, d, 1), (c, b, 1)):
            adjacency[i, j] = adjacency[j, i] = linked
        edges[first], edges[second] = (a, d), (c, b)
    return adjacency
