"""A sweep on a sparse graph, end to end: by its edges as by its matrix."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from configs import graph_attention
from sweeps.pipeline import sweep
from train.tasks import graphs

NODES = 60


def write_ring(folder: Path) -> None:
    """Every node and its two neighbours on each side, in two noisy classes."""
    apart = [np.roll(np.arange(NODES), shift) for shift in (1, 2)]
    edges = np.concatenate([np.stack([np.arange(NODES), other]) for other in apart], 1)
    labels = np.arange(NODES) // (NODES // 2)
    features = np.random.default_rng(0).normal(labels[:, None], 1.0, (NODES, 4))
    np.savez(folder / "ring.npz", edge_index=edges, x=features, y=labels)


def values(config: Any, workdir: Path) -> dict[tuple, float]:
    """What a sweep measured, by member, place, metric and null."""
    sweep(config, workdir, Console(file=io.StringIO()))
    keys = ["member", "step", "layer", "head", "metric", "null"]
    columns = pq.read_table(workdir / "metrics.parquet").to_pydict()
    rows = zip(*(columns[key] for key in keys), strict=True)
    return dict(zip(rows, columns["value"], strict=True))


@pytest.mark.usefixtures("undrawn")
def test_edges_find_what_the_matrix_finds(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_ring(tmp_path)
    config = graph_attention.get_config()
    graph = {"task.name": "graph", "task.path": str(tmp_path), "task.hops": 1}
    more = {"task.symmetrize": True, "train.batch": 1, "eval.sequences": 1}
    more |= {"model.layers": 2}
    config.update_from_flattened_dict(tiny | graph | more)
    with monkeypatch.context() as dense:
        dense.setattr(graphs, "SPARSE", 0.0)
        wanted = values(config, tmp_path / "matrix")
    config.eval.diagnosed = 1
    found = values(config, tmp_path / "edges")
    assert "rewired" in {null for *_, null in found}
    assert set(wanted) < set(found)
    np.testing.assert_allclose(
        [found[key] for key in wanted], list(wanted.values()), rtol=1e-3, atol=1e-4
    )
