"""Graphs: generators, readers, hop distances, and what is refused with which words."""

import builtins
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routers.base import neutral_knobs
from routers.graph_attention import GraphAttention
from train.tasks.graph_data import digits, nearest_neighbours, read_graph
from train.tasks.graphs import SPARSE, csbm, hop_distances, node_classification
from train.tasks.labelled_graph import Graph, adjacency_of


def path_graph(nodes: int = 5, **changed: Any) -> Graph:
    edges = np.stack([np.arange(nodes - 1), np.arange(1, nodes)])
    fields = {
        "adjacency": adjacency_of(edges, nodes, symmetrize=True),
        "features": np.ones((nodes, 2)),
        "labels": np.arange(nodes) % 2,
    }
    return Graph(**(fields | changed))


def test_csbm_has_the_stated_statistics() -> None:
    graph = csbm(nodes=400, signal=0.5, noise=0.3, seed=1)
    assert graph.features.shape == (400, 12)  # ceil(400 / ln(400)^2)
    same = graph.labels[:, None] == graph.labels[None]
    assert not np.diag(graph.adjacency).any()
    np.testing.assert_array_equal(graph.adjacency, graph.adjacency.T)
    # 80,000 pairs each: four standard errors are below .01
    assert abs(graph.adjacency[same].mean() - 0.5) < 0.01
    assert abs(graph.adjacency[~same].mean() - 0.1) < 0.01
    assert abs(graph.features[graph.labels == 1].mean() - 0.5) < 0.03
    assert abs(graph.features[graph.labels == 0].mean() + 0.5) < 0.03


def test_csbm_follows_its_seed() -> None:
    one, two, other = csbm(seed=3), csbm(seed=3), csbm(seed=4)
    np.testing.assert_array_equal(one.adjacency, two.adjacency)
    np.testing.assert_array_equal(one.features, two.features)
    assert (one.adjacency != other.adjacency).any()


@settings(max_examples=20, deadline=None)
@given(
    nodes=st.integers(1, 12),
    hops=st.integers(1, 5),
    density=st.floats(0, 0.5),
    seed=st.integers(0, 1000),
)
def test_hops_are_shortest_paths(
    nodes: int, hops: int, density: float, seed: int
) -> None:
    adjacency = np.random.default_rng(seed).random((nodes, nodes)) < density
    np.fill_diagonal(adjacency, False)
    lengths = np.where(adjacency, 1.0, np.inf)
    np.fill_diagonal(lengths, 0)
    for middle in range(nodes):  # Floyd and Warshall
        through = lengths[:, middle, None] + lengths[None, middle]
        lengths = np.minimum(lengths, through)
    geometry = hop_distances(adjacency, hops)
    near = lengths <= hops
    np.testing.assert_array_equal(geometry.mask, near)
    np.testing.assert_array_equal(
        geometry.distance, np.where(near, lengths, hops + 1).astype(np.float32)
    )
    assert geometry.kind == "graph"


def test_task_gives_training_and_held_out_targets() -> None:
    task = node_classification(csbm(nodes=40), hops=2, train_share=0.25, seed=1)
    features, targets = task.sample(jax.random.key(0), 8)
    _, held_out = task.held_out(jax.random.key(0), 1)
    assert features.shape == (1, 40, 3)
    assert features.dtype == jnp.float32
    assert targets.shape == held_out.shape == (1, 40)
    assert targets.dtype == held_out.dtype == jnp.int32
    assert int((targets >= 0).sum()) == 10
    np.testing.assert_array_equal(targets < 0, held_out >= 0)
    np.testing.assert_array_equal(jnp.maximum(targets, held_out)[0], task.labels)
    assert (task.classes, task.length) == (2, 40)


def test_another_graph_of_the_same_size_never_recompiles() -> None:
    traces = 0

    @jax.jit
    def total(task: Any) -> Any:
        nonlocal traces
        traces += 1
        return sum(jnp.sum(part) for part in task.sample(jax.random.key(0), 1))

    for seed in range(3):
        total(node_classification(csbm(nodes=30, seed=seed)))
    assert traces == 1


def test_a_router_runs_on_the_task() -> None:
    task = node_classification(csbm(nodes=30), hops=2)
    router: Any = GraphAttention(width=task.features.shape[-1])
    x, _ = task.sample(jax.random.key(0), 1)
    call = (x, task.geometry(), neutral_knobs(router))
    (y, routing), _ = router.init_with_output(jax.random.key(0), *call)
    assert y.shape == x.shape
    hidden = np.where(task.mask, 0, routing.weights[0, 0])
    assert hidden.max() == 0


def test_only_sparse_graphs_are_listed() -> None:
    ring = np.roll(np.eye(50, dtype=bool), 1, axis=0)
    graph = Graph(ring | ring.T, np.eye(50), np.arange(50) % 2)
    near, far = (node_classification(graph, hops=hops) for hops in (1, 2))
    edges = near.geometry().edges
    assert edges is not None
    listed = np.zeros((50, 50), bool)
    listed[edges.target, edges.source] = True
    np.testing.assert_array_equal(listed, near.mask)
    assert (np.diff(edges.target) >= 0).all()
    assert far.mask.mean() > SPARSE
    assert far.geometry().edges is None


def test_given_masks_are_kept() -> None:
    test = np.array([True, False, False, True, False])
    task = node_classification(path_graph(test=test), train_share=0.67)
    np.testing.assert_array_equal(task.test, test)
    assert int(task.train.sum()) == 2
    assert not (task.train & test).any()
    other = node_classification(path_graph(train=test))
    np.testing.assert_array_equal(other.test, ~test)


def test_nearest_neighbours_by_hand() -> None:
    adjacency = nearest_neighbours(np.array([[0.0], [1.0], [3.0], [7.0]]), 1)
    wanted = adjacency_of(np.array([[0, 1, 2], [1, 2, 3]]), 4, symmetrize=True)
    np.testing.assert_array_equal(adjacency, wanted)


def test_digits() -> None:
    pytest.importorskip("sklearn")
    graph = digits(nodes=100, neighbours=5)
    assert graph.features.shape == (100, 64)
    assert 0 <= graph.features.min() <= graph.features.max() <= 1
    assert graph.adjacency.sum(1).min() >= 5
    assert node_classification(graph).classes == 10


def test_digits_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = builtins.__import__

    def refuse(name: str, *arguments: Any, **more: Any) -> Any:
        if name.startswith("sklearn"):
            raise ImportError(name)
        return plain(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ValueError, match=r"task.name=digits: needs scikit-learn"):
        digits()


def arrays(**changed: Any) -> dict[str, Any]:
    both = np.array([[0, 1, 1, 2], [1, 0, 2, 1]])
    plain = {"edge_index": both, "x": np.eye(3), "y": np.array([0, 1, 2])}
    return plain | changed


def test_npz_folder(tmp_path: Path) -> None:
    train = np.array([True, False, True])
    np.savez(tmp_path / "small.npz", **arrays(train_mask=train))
    task = node_classification(read_graph(str(tmp_path)))
    np.testing.assert_array_equal(task.train, train)
    np.testing.assert_array_equal(task.features, np.eye(3))
    np.testing.assert_array_equal(task.mask, [[1, 1, 0], [1, 1, 1], [0, 1, 1]])
    assert task.classes == 3


def test_edge_columns_are_sender_then_receiver() -> None:
    adjacency = adjacency_of(np.array([[0], [2]]), 3)
    np.testing.assert_array_equal(np.argwhere(adjacency), [[2, 0]])


CONTENT = "p1\t1\t0\ttheory\np2\t0\t1\tagents\np9\t1\t1\ttheory\n"


def test_text_folder(tmp_path: Path) -> None:
    (tmp_path / "cora.content").write_text(CONTENT)
    (tmp_path / "cora.cites").write_text("p1\tp2\np9\tp2\n")
    graph = read_graph(str(tmp_path), symmetrize=True)
    np.testing.assert_array_equal(graph.labels, [1, 0, 1])
    np.testing.assert_array_equal(graph.features, [[1, 0], [0, 1], [1, 1]])
    one_way = read_graph(str(tmp_path)).adjacency
    np.testing.assert_array_equal(np.argwhere(one_way), [[1, 0], [1, 2]])
    np.testing.assert_array_equal(graph.adjacency, one_way | one_way.T)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"edge_index": [[0, 1], [1, 3]]}, "node 3 is outside 0 to 2"),
        ({"edge_index": [[0, -1], [1, 0]]}, "node -1 is outside 0 to 2"),
        ({"edge_index": [[0.0], [1.0]]}, r"must be integers \[2, E\], not float64"),
        ({"edge_index": [[0, 1, 1], [1, 0, 1]]}, "node 1 has a self-loop"),
        ({"edge_index": [[0], [1]]}, "symmetrize=False: edge 0 -> 1 has no reverse"),
        ({"edge_index": [[0, 1], [1, 0]]}, "node 2 has no neighbour"),
        (
            {"x": [[0, 1]] * 2 + [[0, np.nan]]},
            "task.features: must be finite, but are not at node 2",
        ),
        ({"y": [0, 1, -1]}, "task.labels: must be at least 0, but one is -1"),
        ({"y": [0.0, 1.0, 2.0]}, r"y must be integers \[N\], not float64"),
        ({"y": [0, 1]}, "task.graph: 2 labels do not fit"),
        ({"x": [0, 1, 2]}, r"x must be numbers \[N, F\]"),
        ({"x": np.array([{}, {}, {}])}, "cannot be read"),
        ({"train_mask": [0, 2]}, "task.train_mask: must be booleans"),
        ({"train_mask": [False] * 3}, "task.train_mask: must have at least one node"),
        ({"train_mask": [True] * 3}, "task.test_mask: must have at least one node"),
        (
            {"train_mask": [True, True, False], "test_mask": [False, True, True]},
            "task.test_mask: must not share nodes .*, but node 1 is in both",
        ),
    ],
)
def test_broken_graphs_are_named(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    new = {name: np.asarray(value) for name, value in changed.items()}
    np.savez(tmp_path / "small.npz", **arrays(**new))
    with pytest.raises(ValueError, match=message) as caught:
        node_classification(read_graph(str(tmp_path)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "has no NAME.npz and no NAME.content$"),
        ({"ind.cora.x": "?"}, r"ind.\* files are pickles, which are never read"),
        ({"a.npz": "?", "b.content": "?"}, "has more than one graph: a.npz, b.content"),
        ({"a.npz": "text"}, r"a.npz: cannot be read"),
        ({"a.content": ""}, "a.content: the file is empty"),
        (
            {"a.content": "p1 1 x\np2 x\n"},
            "must have an identifier, .* and the same number of fields",
        ),
        ({"a.content": "p1 1 x\np1 1 x\n"}, "an identifier occurs twice"),
        ({"a.content": "p1 1 x\np2 y x\n"}, "a.content:2: could not convert"),
        ({"a.content": CONTENT}, "a.cites: cannot be read"),
        (
            {"a.content": CONTENT, "a.cites": "p1 p2\np1 p3\n"},
            "cites:2: there is no paper p3",
        ),
        ({"a.content": CONTENT, "a.cites": "p1\n"}, "cites:1: must name two papers"),
    ],
)
def test_broken_folders_are_named(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_graph(str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: csbm(nodes=3), "task.nodes=3: must be at least 4"),
        (
            lambda: csbm(within=1.5),
            r"task.within=1.5: must be a probability in \[0, 1\]",
        ),
        (lambda: csbm(noise=-1.0), "task.noise=-1.0: must be at least 0"),
        (lambda: csbm(within=0.0, across=0.0), "too sparse for task.nodes=200"),
        (lambda: hop_distances(np.eye(3) > 1, 0), "task.hops=0: must be at least 1"),
        (
            lambda: nearest_neighbours(np.eye(3), 3),
            "task.neighbours=3: must be between 1 and 2",
        ),
        (
            lambda: node_classification(path_graph(), train_share=0.0),
            "task.train_share=0.0: leaves none of 5 nodes to train on",
        ),
        (
            lambda: node_classification(path_graph(), train_share=1.0),
            "task.train_share=1.0: leaves none of 5 nodes to test",
        ),
        (lambda: read_graph("/nowhere"), "task.path=/nowhere: no such folder"),
    ],
)
def test_settings_are_named(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
