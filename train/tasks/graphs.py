"""Node classification on one graph, with the labels of some nodes held back.

A graph is given as a `train.tasks.labelled_graph.Graph`. It is checked once, when the
task is built, and its hop distances are computed then. The task holds nothing but
arrays, so another graph of the same size never recompiles. A sparse graph is also
stored as a list of edges, whose number is then part of its size.

The contextual stochastic block model (CSBM) has n nodes in two classes of equal size,
edges with probability ``within`` inside a class and ``across`` between the classes, and
features ``+-signal + noise * N(0, 1)`` in ``ceil(n / ln^2 n)`` dimensions. It has no
intrinsic hubs, so a hub in the routing is due to the router.

References: Fountoulakis et al. 2023, Graph Attention Retrospective (arXiv 2202.13060).
"""

import math

import jax.numpy as jnp
import numpy as np
from flax import struct

from routers.base import Array, Edges, Geometry
from routers.edges import list_edges
from train.tasks.labelled_graph import Graph, check_graph
from train.tasks.memory import require_room_for_pairs

SPARSE = 0.08
"""Share of node pairs within reach below which a CPU follows a list of these pairs.

For GAT with 200 to 1800 nodes, the list takes as long as the matrix at a share of .09
and a quarter as long at .02; GATv2 gains up to a share of .3."""


class NodeClassification(struct.PyTreeNode):
    """The task as traced arrays.

    Attributes:
      features: float32 ``[N, F]``.
      labels: Class of every node, int32 ``[N]``.
      train: Nodes whose labels are trained on, bool ``[N]``.
      test: Nodes that are held out, disjoint from ``train``, bool ``[N]``.
      distance: Distance of every pair of nodes in hops, float32 ``[N, N]``.
      mask: True for pairs within reach, which include every node with itself, bool
        ``[N, N]``.
      edges: The mask as a list for graphs that are sparse, see `SPARSE`; otherwise
        None.
      classes: Number of classes; static.
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
        """V, number of classes."""
        return self.classes

    @property
    def length(self) -> int:
        """T = N, number of nodes."""
        return self.labels.shape[0]

    def geometry(self) -> Geometry:
        """Hop distances of the graph."""
        return Geometry(self.distance, self.mask, "graph", self.edges)

    def sample(self, key: Array, batch: int) -> tuple[Array, Array]:
        """The whole graph, with the training labels.

        Args:
          key: Not used, because every batch is the one graph.
          batch: Not used, for the same reason.

        Returns:
          Features ``[1, N, F]`` and targets int32 ``[1, N]``, -1 for all other nodes.
        """
        return self.features[None], self._targets(self.train)

    def held_out(self, key: Array, batch: int) -> tuple[Array, Array]:
        """As `sample`, but with the labels of the test nodes."""
        return self.features[None], self._targets(self.test)

    def _targets(self, chosen: Array) -> Array:
        return jnp.where(chosen, self.labels, -1)[None]


def hop_distances(adjacency: np.ndarray, hops: int) -> Geometry:
    """Lengths of shortest paths, up to a number of hops, by powers of the adjacency.

    Args:
      adjacency: bool ``[N, N]``; ``[i, j]`` is true if i receives from j.
      hops: Largest number of hops over which a node may read.

    Returns:
      Geometry ``[N, N]`` of kind ``"graph"``. The distance of a node from itself is 0;
      pairs further apart than ``hops`` are masked and have the finite distance
      ``hops + 1``.

    Raises:
      ValueError: the number of hops is below 1.
    """
    if hops < 1:
        raise ValueError(f"task.hops={hops}: must be at least 1")
    nodes = len(adjacency)
    edges = adjacency.astype(np.float32)
    reached = np.eye(nodes, dtype=bool)
    distance = np.where(reached, 0.0, hops + 1.0).astype(np.float32)
    for hop in range(1, hops + 1):
        # A product of floats is a BLAS call; one of booleans is not.
        wider = reached | (reached.astype(np.float32) @ edges > 0)
        if (wider == reached).all():  # no path is longer
            break
        distance[wider & ~reached] = hop
        reached = wider
    return Geometry(jnp.asarray(distance), jnp.asarray(reached), "graph")


def node_classification(
    graph: Graph, *, hops: int = 1, train_share: float = 0.5, seed: int = 0
) -> NodeClassification:
    """Checks a graph and builds the task from it.

    Args:
      graph: Symmetric graph without self-loops and without isolated nodes.
      hops: Largest number of hops over which a node may read.
      train_share: Share of the nodes that is drawn for training if the graph does not
        say which ones are.
      seed: Seed of that draw.

    Raises:
      ValueError: the graph or a setting cannot be used; the message names it.
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
                f"task.train_share={train_share}: leaves none of {len(order)} nodes to "
                f"{'train on' if count < 1 else 'test'}"
            )
        train = np.zeros(nodes, bool)
        train[order[:count]] = True
    test = ~train if graph.test is None else graph.test
    for name, chosen in (("train_mask", train), ("test_mask", test)):
        if not chosen.any():
            raise ValueError(f"task.{name}: must have at least one node")
    if (train & test).any():
        both = int(np.flatnonzero(train & test)[0])
        raise ValueError(
            f"task.test_mask: must not share nodes with task.train_mask, but node "
            f"{both} is in both"
        )
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
      nodes: n, number of nodes; the sizes of the classes differ by one at most.
      within: Probability of an edge inside a class.
      across: Probability of an edge between the classes.
      signal: mu, half the distance between the class means in every dimension.
      noise: Standard deviation of the features.
      seed: Seed of edges and features.

    Raises:
      ValueError: a setting is out of range, or an isolated node was drawn.
    """
    if nodes < 4:
        raise ValueError(f"task.nodes={nodes}: must be at least 4")
    require_room_for_pairs(nodes, f"task.nodes={nodes}")
    for name, share in (("within", within), ("across", across)):
        if not 0 <= share <= 1:
            raise ValueError(f"task.{name}={share}: must be a probability in [0, 1]")
    if noise < 0:
        raise ValueError(f"task.noise={noise}: must be at least 0")
    generator = np.random.default_rng(seed)
    labels = np.arange(nodes) % 2
    chance = np.where(labels[:, None] == labels[None], within, across)
    upper = np.triu(generator.random((nodes, nodes)) < chance, 1)
    adjacency = upper | upper.T
    if not adjacency.any(1).all():
        raise ValueError(
            f"task.within={within}, task.across={across}: too sparse for task.nodes="
            f"{nodes}, because a node has no neighbour"
        )
    width = math.ceil(nodes / math.log(nodes) ** 2)
    centre = signal * (2.0 * labels - 1.0)[:, None]
    features = centre + noise * generator.standard_normal((nodes, width))
    return Graph(adjacency=adjacency, features=features, labels=labels)
