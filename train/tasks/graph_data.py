"""Reads the graph of a task: scikit-learn's digits, or a graph in a local folder.

A folder holds either one file ``NAME.npz`` with ``edge_index [2, E]``, ``x [N, F]``,
``y [N]`` and optionally ``train_mask`` and ``test_mask``, or the classic pair of text
files::

    NAME.content   one line per paper: identifier, features, class
    NAME.cites     one line per citation: cited paper, citing paper

Pickles are never loaded, because loading one runs any code that its author put there.
"""

from pathlib import Path

import numpy as np

from train.tasks.archive import read_arrays
from train.tasks.files import local_path, read_regular
from train.tasks.labelled_graph import Graph, adjacency_of

ARRAYS = ("edge_index", "x", "y", "train_mask", "test_mask")
"""Arrays of a NumPy archive that are read; others are left alone."""
MOST_BYTES = 1_000_000_000
"""Largest number of bytes of a text file of a graph."""


def nearest_neighbours(features: np.ndarray, neighbours: int) -> np.ndarray:
    """Links every node to its k nearest by Euclidean distance, in both directions.

    Args:
      features: ``[N, F]``.
      neighbours: k.

    Returns:
      Adjacency, bool ``[N, N]``, without self-loops; every node has at least k
      neighbours.

    Raises:
      ValueError: k is not between 1 and N - 1.
    """
    nodes = len(features)
    if not 1 <= neighbours < nodes:
        raise ValueError(
            f"task.neighbours={neighbours}: must be between 1 and {nodes - 1}, one "
            f"fewer than the {nodes} nodes"
        )
    features = features.astype(np.float64)
    square = np.sum(features**2, axis=1)
    apart = square[:, None] + square[None] - 2 * features @ features.T
    np.fill_diagonal(apart, np.inf)
    nearest = np.argsort(apart, axis=1, kind="stable")[:, :neighbours]
    adjacency = np.zeros((nodes, nodes), bool)
    np.put_along_axis(adjacency, nearest, True, axis=1)
    return adjacency | adjacency.T


def digits(*, nodes: int = 600, neighbours: int = 8, seed: int = 0) -> Graph:
    """Handwritten digits, 64 features and 10 classes, as a nearest-neighbour graph.

    Args:
      nodes: Number of digits to draw at random from the 1,797.
      neighbours: k, number of neighbours to which every digit is linked.
      seed: Seed of the draw.

    Raises:
      ValueError: scikit-learn is not installed, or a setting is out of range.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ValueError(
            "task.name=digits: needs scikit-learn: pip install 'router-sweeps[graphs]'"
        ) from None
    pixels, labels = load_digits(return_X_y=True)
    if not 1 < nodes <= len(labels):
        raise ValueError(f"task.nodes={nodes}: must be between 2 and {len(labels)}")
    order = np.random.default_rng(seed).permutation(len(labels))[:nodes]
    features = pixels[order] / 16.0
    return Graph(
        adjacency=nearest_neighbours(features, neighbours),
        features=features,
        labels=labels[order].astype(np.int64),
    )


def read_graph(folder: str, *, symmetrize: bool = False) -> Graph:
    """Reads the one graph of a local folder; the module docstring lists the formats.

    Args:
      folder: Path of the folder.
      symmetrize: Whether to add the reverse of every edge, which citations need.

    Raises:
      ValueError: the folder has no graph or several, or a file is broken.
    """
    try:
        path = local_path(folder)
    except ValueError as error:
        raise ValueError(f"task.path={folder}: {error}") from None
    if not folder or not path.is_dir():
        raise ValueError(f"task.path={folder}: no such folder")
    found = sorted([*path.glob("*.npz"), *path.glob("*.content")])
    if not found:
        pickled = any(path.glob("ind.*"))
        raise ValueError(
            f"task.path={folder}: has no NAME.npz and no NAME.content"
            + ("; its ind.* files are pickles, which are never read" * pickled)
        )
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise ValueError(f"task.path={folder}: has more than one graph: {names}")
    file = found[0]
    return (
        _read_npz(file, symmetrize)
        if file.suffix == ".npz"
        else _read_text(file, symmetrize)
    )


def _read_npz(file: Path, symmetrize: bool) -> Graph:
    try:
        arrays = read_arrays(file, ARRAYS)
    except ValueError as error:
        raise ValueError(f"task.path: {file}: cannot be read ({error})") from None
    missing = [name for name in ("edge_index", "x", "y") if name not in arrays]
    if missing:
        raise ValueError(f"task.path: {file}: has no array {', '.join(missing)}")
    features, labels = arrays["x"], arrays["y"]
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(
            f"task.path: {file}: y must be integers [N], "
            f"not {labels.dtype} {labels.shape}"
        )
    if len(labels) and labels.max() > np.iinfo(np.int32).max:  # it would wrap
        raise ValueError(
            f"task.labels: must be class numbers below the number of nodes, "
            f"{len(labels)}, but one is {labels.max()}"
        )
    if features.ndim != 2 or features.dtype.kind not in "fiub":
        raise ValueError(f"task.path: {file}: x must be numbers [N, F]")
    with np.errstate(over="ignore"):  # what overflows is refused as not finite
        features = features.astype(np.float32)
    return Graph(
        adjacency=adjacency_of(
            arrays["edge_index"], len(features), symmetrize=symmetrize
        ),
        features=features,
        labels=labels.astype(np.int64),
        train=arrays.get("train_mask"),
        test=arrays.get("test_mask"),
    )


def _read_text(file: Path, symmetrize: bool) -> Graph:
    rows = _fields(file)
    widths = {len(row) for _, row in rows}
    if len(widths) != 1 or widths.pop() < 3:
        raise ValueError(
            f"task.path: {file}: every line must have an identifier, features and a "
            "class, and the same number of fields"
        )
    index = {row[0]: i for i, (_, row) in enumerate(rows)}
    if len(index) < len(rows):
        raise ValueError(f"task.path: {file}: an identifier occurs twice")
    features = np.empty((len(rows), len(rows[0][1]) - 2), np.float32)
    for i, (number, row) in enumerate(rows):
        try:
            features[i] = [float(field) for field in row[1:-1]]
        except ValueError as error:
            raise ValueError(f"task.path: {file}:{number}: {error}") from None
    classes = {name: i for i, name in enumerate(sorted({row[-1] for _, row in rows}))}
    cites = file.with_suffix(".cites")
    pairs = []
    for number, row in _fields(cites):
        unknown = [name for name in row if name not in index]
        if len(row) != 2 or unknown:
            reason = (
                f"there is no paper {unknown[0]}" if unknown else "must name two papers"
            )
            raise ValueError(f"task.path: {cites}:{number}: {reason}")
        pairs.append([index[name] for name in row])  # the citing paper receives
    return Graph(
        adjacency=adjacency_of(
            np.asarray(pairs, np.int64).reshape(-1, 2).T,
            len(rows),
            symmetrize=symmetrize,
        ),
        features=features,
        labels=np.asarray([classes[row[-1]] for _, row in rows]),
    )


def _fields(file: Path) -> list[tuple[int, list[str]]]:
    """Reads the lines that are not empty, as line numbers and fields."""
    try:
        text = read_regular(file, MOST_BYTES).decode("utf-8-sig")
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"task.path: {file}: cannot be read ({reason})") from None
    lines = enumerate(text.splitlines(), start=1)
    rows = [(number, line.split()) for number, line in lines if line.strip()]
    if not rows:
        raise ValueError(f"task.path: {file}: the file is empty")
    return rows
