"""Graph attention against PyTorch Geometric (fixtures/make_graph.py)."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from routers.base import Geometry, neutral_knobs
from routers.edges import list_edges
from routers.graph_attention import GraphAttention, GraphAttentionConfig
from routers.pretrained.gat import gat_variables
from tests import ROOT

FIXTURES = ROOT / "tests" / "fixtures"


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize(("version", "name"), [("v1", "gat"), ("v2", "gatv2")])
def test_matches_the_published_layer(version: str, name: str, listed: bool) -> None:
    data = dict(np.load(FIXTURES / f"{name}.npz"))
    nodes, width = data["x"].shape
    heads = data["attention"].shape[1]
    receives = np.eye(nodes, dtype=bool)
    receives[data["edge_index"][1], data["edge_index"][0]] = True
    geometry = Geometry(
        jnp.asarray(~np.eye(nodes, dtype=bool), jnp.float32),
        jnp.asarray(receives),
        "graph",
        list_edges(receives) if listed else None,
    )
    router: Any = GraphAttention(width, GraphAttentionConfig(version, heads))
    y, routing = router.apply(
        gat_variables(data, version, heads),
        jnp.asarray(data["x"])[None],
        geometry,
        neutral_knobs(router),
    )
    weights = np.zeros((heads, nodes, nodes), np.float32)
    source, target = data["attention_edges"]
    weights[:, target, source] = data["attention"].T
    np.testing.assert_allclose(routing.weights[0], weights, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(y[0], data["output"], rtol=1e-5, atol=1e-6)


def test_a_missing_tensor_is_named() -> None:
    with pytest.raises(ValueError, match=r"tensors missing: lin.weight"):
        gat_variables({"att_src": np.ones(1), "att_dst": np.ones(1)}, "v1", 1)
