"""A labelled graph as NumPy arrays, and what it must fulfil to become a task."""

import dataclasses

import numpy as np

from train.tasks.memory import require_room_for_pairs


@dataclasses.dataclass(frozen=True)
class Graph:
    """A labelled graph, not yet checked.

    Attributes:
      adjacency: bool ``[N, N]``; ``[i, j]`` is true if i receives from j.
      features: float ``[N, F]``.
      labels: Class of every node, from 0, int ``[N]``.
      train: Nodes whose labels are trained on, bool ``[N]``; None to draw them.
      test: Nodes that are held out, bool ``[N]``; None for all that are not in
        ``train``.
    """

    adjacency: np.ndarray
    features: np.ndarray
    labels: np.ndarray
    train: np.ndarray | None = None
    test: np.ndarray | None = None


def adjacency_of(
    edges: np.ndarray, nodes: int, *, symmetrize: bool = False
) -> np.ndarray:
    """The adjacency of a list of edges.

    Args:
      edges: int ``[2, E]``; a column ``(j, i)`` means that i receives from j.
      nodes: N, number of nodes.
      symmetrize: Whether to add the reverse of every edge.

    Returns:
      bool ``[N, N]``; ``[i, j]`` is true if i receives from j.

    Raises:
      ValueError: the edges are not integers ``[2, E]``, or one has a node that does
        not exist.
    """
    if edges.ndim != 2 or edges.shape[0] != 2 or edges.dtype.kind not in "iu":
        raise ValueError(
            f"task.edges: must be integers [2, E], not {edges.dtype} {edges.shape}"
        )
    require_room_for_pairs(nodes, f"task.path: a graph of {nodes:,} nodes")
    outside = edges[(edges < 0) | (edges >= nodes)]
    if outside.size:
        raise ValueError(
            f"task.edges: node {outside[0]} is outside 0 to {nodes - 1}, the range of "
            f"the {nodes} nodes that have features"
        )
    adjacency = np.zeros((nodes, nodes), bool)
    adjacency[edges[1], edges[0]] = True
    return adjacency | adjacency.T if symmetrize else adjacency


def check_graph(graph: Graph) -> None:
    """Checks that a graph can be made a task.

    Raises:
      ValueError: it cannot; the message names the setting.
    """
    adjacency, nodes = graph.adjacency, len(graph.labels)
    if adjacency.shape != (nodes, nodes) or len(graph.features) != nodes:
        raise ValueError(
            f"task.graph: {nodes} labels do not fit features of shape "
            f"{graph.features.shape} and an adjacency of shape {adjacency.shape}"
        )
    if nodes < 2 or graph.features.ndim != 2 or not graph.features.shape[1]:
        raise ValueError(
            f"task.features: must be at least one number for each of at least 2 nodes, "
            f"but have shape {graph.features.shape}"
        )
    if not np.isfinite(graph.features).all():
        row = int(np.argwhere(~np.isfinite(graph.features))[0, 0])
        raise ValueError(f"task.features: must be finite, but are not at node {row}")
    if nodes and graph.labels.min() < 0:
        raise ValueError(
            f"task.labels: must be at least 0, but one is {graph.labels.min()}"
        )
    if nodes and graph.labels.max() >= nodes:
        raise ValueError(
            f"task.labels: must be class numbers below the number of nodes, {nodes}, "
            f"but one is {graph.labels.max()}"
        )
    loops = np.flatnonzero(np.diag(adjacency))
    if loops.size:
        raise ValueError(
            f"task.edges: node {loops[0]} has a self-loop ({loops.size} in all); leave "
            "self-loops out, because every node reads itself anyway"
        )
    one_way = np.argwhere(adjacency & ~adjacency.T)
    if one_way.size:
        target, source = one_way[0]
        raise ValueError(
            f"task.symmetrize=False: edge {source} -> {target} has no reverse "
            f"({len(one_way)} such edges); task.symmetrize=True adds them"
        )
    isolated = np.flatnonzero(~adjacency.any(1))
    if isolated.size:
        raise ValueError(
            f"task.edges: node {isolated[0]} has no neighbour ({isolated.size} such "
            "nodes); leave such nodes out or connect them"
        )
    for name, chosen in (("train", graph.train), ("test", graph.test)):
        if chosen is not None and (chosen.shape != (nodes,) or chosen.dtype != bool):
            raise ValueError(
                f"task.{name}_mask: must be booleans [{nodes}], "
                f"not {chosen.dtype} {chosen.shape}"
            )
