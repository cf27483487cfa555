"""Node classification: one graph, all nodes at once, labels of some held back.

A graph enters as a `Graph` of NumPy arrays (from here or `train.tasks.graph_data`) and
is checked once, at construction; hop distances are computed there too. The task holds
arrays only, so another graph of the same size never recompiles; a sparse one is also
listed as edges, whose number is then part of its size.

CSBM, the contextual stochastic block model: n nodes in two even classes, an edge with
probability ``within`` or ``across``, features ``+-signal + noise * N(0, 1)`` in
``ceil(n / ln^2 n)`` dimensions. It has no intrinsic hubs, so a hub is the router's.

References: Fountoulakis et al. 2023, Graph Attention Retrospective (arXiv 2202.13060).
"""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
from flax import struct

from routers.base import Array, Edges, Geometry
from routers.edges import list_edges

SPARSE = 0.08
"""Share of the pairs within reach below which a CPU follows a list of edges.

The list took as long as the matrix at .09 (GAT, 200 to 1800 nodes), a quarter as long
at .02; GATv2 gains up to .3."""


@dataclasses.dataclass(frozen=True)
class Graph:
    """A labelled graph, not yet checked.

    Attributes:
      adjacency: bool ``[N, N]``; ``[i, j]`` where i receives from j.
      features: float ``[N, F]``.
      labels: int ``[N]``, classes from 0.
      train: bool ``[N]``, nodes whose labels are learned from; None to draw them.
      test: bool ``[N]``, nodes held out; None for all that are not in ``train``.
    """

    adjacency: np.ndarray
    features: np.ndarray
    labels: np.ndarray
    train: np.ndarray | None = None
    test: np.ndarray | None = None


class NodeClassification(struct.PyTreeNode):
    """The task as traced arrays.

    Attributes:
      features: float32 ``[N, F]``.
      labels: int32 ``[N]``.
      train: bool ``[N]``.
      test: bool ``[N]``, disjoint from ``train``.
      distance: float32 ``[N, N]``, hops.
      mask: bool ``[N, N]``, within reach, every node itself included.
      edges: the mask as a list where that pays, see `SPARSE`; else None.
      classes: how many, static.
    """

    features: Array
    labels: Array
    train: Array
    test: Array
    distance: Array
    mask: Array
    edges: Edges | None
    classes: int = struct.field(pytree_node=False)

    @property
    def outputs(self) -> int:
        """V, classes."""
        return self.classes

    @property
    def length(self) -> int:
        """N, nodes."""
        return self.labels.shape[0]

    def geometry(self) -> Geometry:
        """Hop distances of the graph."""
        return Geometry(self.distance, self.mask, "graph", self.edges)

    def sample(self, key: Array, batch: int) -> tuple[Array, Array]:
        """The whole graph, with the training labels.

        Args:
          key: not used; every batch is the one graph.
          batch: not used, for the same reason.

        Returns:
          Features ``[1, N, F]`` and targets int32 ``[1, N]``, -1 where there is none.
        """
        return self.features[None], self._targets(self.train)

    def held_out(self, key: Array, batch: int) -> tuple[Array, Array]:
        """As `sample`, with the labels of the test nodes instead."""
        return self.features[None], self._targets(self.test)

    def _targets(self, chosen: Array) -> Array:
        return jnp.where(chosen, self.labels, -1)[None]


def hop_distances(adjacency: np.ndarray, hops: int) -> Geometry:
    """Shortest path lengths up to a number of hops, from powers of the adjacency.

    Args:
      adjacency: bool ``[N, N]``; ``[i, j]`` where i receives from j.
      hops: how far a node may read.

    Returns:
      Geometry ``[N, N]`` of kind ``"graph"``: 0 at the node itself, masked (and at
      the finite distance ``hops + 1``) beyond.

    Raises:
      ValueError: no hop at all.
    """
    if hops < 1:
        raise ValueError(f"task.hops={hops}: at least 1")
    nodes = len(adjacency)
    edges = adjacency.astype(np.float32)
    reached = np.eye(nodes, dtype=bool)
    distance = np.where(reached, 0.0, hops + 1.0).astype(np.float32)
    for hop in range(1, hops + 1):
        # A float product is a BLAS call; a boolean one is not.
        wider = reached | (reached.astype(np.float32) @ edges > 0)
        distance[wider & ~reached] = hop
        reached = wider
    return Geometry(jnp.asarray(distance), jnp.asarray(reached), "graph")


def adjacency_of(
    edges: np.ndarray, nodes: int, *, symmetrize: bool = False
) -> np.ndarray:
    """The adjacency of a list of edges.

    Args:
      edges: int ``[2, E]``; column ``(j, i)`` where i receives from j.
      nodes: N.
      symmetrize: add the reverse of every edge.

    Returns:
      bool ``[N, N]``; ``[i, j]`` where i receives from j.

    Raises:
      ValueError: not ``[2, E]`` integers, or an edge to a node that is not there.
    """
    if edges.ndim != 2 or edges.shape[0] != 2 or edges.dtype.kind not in "iu":
        raise ValueError(
            f"task.edges: integers [2, E] are needed, not {edges.dtype} {edges.shape}"
        )
    outside = edges[(edges < 0) | (edges >= nodes)]
    if outside.size:
        raise ValueError(
            f"task.edges: node {outside[0]} is outside 0 to {nodes - 1}, "
            f"the {nodes} nodes that have features"
        )
    adjacency = np.zeros((nodes, nodes), bool)
    adjacency[edges[1], edges[0]] = True
    return adjacency | adjacency.T if symmetrize else adjacency


def check_graph(graph: Graph) -> None:
    """Raises ValueError, naming the setting, where a graph cannot be a task."""
    adjacency, nodes = graph.adjacency, len(graph.labels)
    if adjacency.shape != (nodes, nodes) or len(graph.features) != nodes:
        raise ValueError(
            f"task.graph: {nodes} labels, features of shape {graph.features.shape}, "
            f"adjacency of shape {adjacency.shape}"
        )
    if not np.isfinite(graph.features).all():
        row = int(np.argwhere(~np.isfinite(graph.features))[0, 0])
        raise ValueError(f"task.features: not finite at node {row}")
    if nodes and graph.labels.min() < 0:
        raise ValueError(f"task.labels: {graph.labels.min()} is negative")
    loops = np.flatnonzero(np.diag(adjacency))
    if loops.size:
        raise ValueError(
            f"task.edges: node {loops[0]} has a self-loop ({loops.size} in all); "
            "leave them out, every node reads itself anyway"
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
            "nodes); leave them out or connect them"
        )
    for name, chosen in (("train", graph.train), ("test", graph.test)):
        if chosen is not None and (chosen.shape != (nodes,) or chosen.dtype != bool):
            raise ValueError(
                f"task.{name}_mask: booleans [{nodes}] are needed, "
                f"not {chosen.dtype} {chosen.shape}"
            )


def node_classification(
    graph: Graph, *, hops: int = 1, train_share: float = 0.5, seed: int = 0
) -> NodeClassification:
    """Builds the task from a checked graph.

    Args:
      graph: symmetric, without self-loops and isolated nodes.
      hops: how far a node may read.
      train_share: of the nodes, drawn for training where the graph does not say.
      seed: of that draw.

    Raises:
      ValueError: the graph or a setting does not fit; the message names it.
    """
    check_graph(graph)
    nodes = len(graph.labels)
    if graph.train is not None:
        train = graph.train
    else:
        free = np.flatnonzero(~graph.test) if graph.test is not None else nodes
        order = np.random.default_rng(seed).permutation(free)
        count = round(train_share * len(order))
        if not 0 < count < nodes:
            raise ValueError(
                f"task.train_share={train_share}: of {len(order)} nodes it leaves "
                f"none to {'train on' if count < 1 else 'test'}"
            )
        train = np.zeros(nodes, bool)
        train[order[:count]] = True
    test = ~train if graph.test is None else graph.test
    for name, chosen in (("train_mask", train), ("test_mask", test)):
        if not chosen.any():
            raise ValueError(f"task.{name}: no node")
    if (train & test).any():
        both = int(np.flatnonzero(train & test)[0])
        raise ValueError(f"task.test_mask: node {both} is in task.train_mask too")
    geometry = hop_distances(graph.adjacency, hops)
    return NodeClassification(
        features=jnp.asarray(graph.features, jnp.float32),
        labels=jnp.asarray(graph.labels, jnp.int32),
        train=jnp.asarray(train),
        test=jnp.asarray(test),
        distance=geometry.distance,
        mask=geometry.mask,
        edges=list_edges(geometry.mask) if geometry.mask.mean() < SPARSE else None,
        classes=int(graph.labels.max()) + 1,
    )


def csbm(
    *,
    nodes: int = 200,
    within: float = 0.5,
    across: float = 0.1,
    signal: float = 0.1,
    noise: float = 0.3,
    seed: int = 0,
) -> Graph:
    """Draws a contextual stochastic block model of two classes.

    Args:
      nodes: n; the classes differ by one node at most.
      within: probability of an edge inside a class.
      across: probability of an edge between the classes.
      signal: mu, half the distance of the class means in every dimension.
      noise: standard deviation of the features.
      seed: of edges and features.

    Raises:
      ValueError: a setting out of range, or an isolated node was drawn.
    """
    if nodes < 4:
        raise ValueError(f"task.nodes={nodes}: at least 4")
    for name, share in (("within", within), ("across", across)):
        if not 0 <= share <= 1:
            raise ValueError(f"task.{name}={share}: a probability, in [0, 1]")
    if noise < 0:
        raise ValueError(f"task.noise={noise}: at least 0")
    generator = np.random.default_rng(seed)
    labels = np.arange(nodes) % 2
    chance = np.where(labels[:, None] == labels[None], within, across)
    upper = np.triu(generator.random((nodes, nodes)) < chance, 1)
    adjacency = upper | upper.T
    if not adjacency.any(1).all():
        raise ValueError(
            f"task.within={within}, task.across={across}: too sparse for task.nodes="
            f"{nodes}, a node has no neighbour"
        )
    width = math.ceil(nodes / math.log(nodes) ** 2)
    centre = signal * (2.0 * labels - 1.0)[:, None]
    features = centre + noise * generator.standard_normal((nodes, width))
    return Graph(adjacency=adjacency, features=features, labels=labels)
