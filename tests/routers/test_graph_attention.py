"""Graph attention: the contract, the equation, and what blocks may not change."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from routers.base import Geometry, neutral_knobs
from routers.contract import examine
from routers.contract.geometries import ring_geometry
from routers.edges import list_edges
from routers.graph_attention import GraphAttention, GraphAttentionConfig
from routers.graph_scores import dynamic_scores

TOLERANCE: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-6}


def layer(version: str, heads: int = 2, scale: float = 0.7) -> Any:
    config = GraphAttentionConfig(version=version, heads=heads, init_scale=scale)
    return GraphAttention(width=8, config=config)


def random_graph(nodes: int, seed: int = 0) -> Geometry:
    generator = np.random.default_rng(seed)
    mask = (generator.random((nodes, nodes)) < 0.4) | np.eye(nodes, dtype=bool)
    distance = np.where(np.eye(nodes), 0, generator.integers(1, 4, (nodes, nodes)))
    return Geometry(jnp.asarray(distance, jnp.float32), jnp.asarray(mask), "graph")


def setting(router: Any, nodes: int = 7, batch: int = 2) -> tuple[Any, Any]:
    x = jax.random.normal(jax.random.key(1), (batch, nodes, router.width))
    geometry = ring_geometry(nodes)
    params = router.init(jax.random.key(2), x, geometry, neutral_knobs(router))
    noise = jax.random.normal(jax.random.key(3), (200,))
    # biases start at zero, where a wrong one would not show
    return x, jax.tree.map(lambda p: p + 0.1 * noise[: p.size].reshape(p.shape), params)


def test_contract_of_the_second_version() -> None:
    failed = [finding for finding in examine(layer("v2")) if not finding.passed]
    assert not failed, failed


def reference(
    params: Any, version: str, x: np.ndarray, geometry: Geometry, knobs: Any
) -> tuple[np.ndarray, np.ndarray]:
    """The module docstring's equation, one pair of nodes at a time, in float64."""
    p = {name: np.asarray(v, np.float64) for name, v in params["params"].items()}
    distance, mask = np.asarray(geometry.distance), np.asarray(geometry.mask)
    nodes, width = x.shape
    heads = p["score"].shape[-2]
    beta, content, null = (
        np.broadcast_to(np.asarray(knobs[k], np.float64), heads)
        for k in ("brake", "content", "null_sink")
    )
    if version == "v1":
        source = target = x @ p["kernel"]
    else:
        both = x @ p["kernel"] + p["kernel_bias"]
        source, target = both[:, :width], both[:, width:]
    source, target = (part.reshape(nodes, heads, -1) for part in (source, target))
    weights = np.zeros((heads, nodes, nodes))
    for h in range(heads):
        for i in range(nodes):
            score = np.full(nodes, -np.inf)
            for j in np.flatnonzero(mask[i]):
                if version == "v1":
                    a, b = p["score"][0, h], p["score"][1, h]
                    z = a @ target[i, h] + b @ source[j, h]
                    s = max(z, 0.2 * z)
                else:
                    z = target[i, h] + source[j, h]
                    s = p["score"][h] @ np.maximum(z, 0.2 * z)
                score[j] = content[h] * s - beta[h] * distance[i, j]
            top = np.exp(score)
            weights[h, i] = top / (top.sum() + null[h])
    y = np.einsum("hts,shk->thk", weights, source).reshape(nodes, width) + p["bias"]
    return weights, y


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"brake": 0.7, "content": 1.5},
        {"brake": [0.2, 2.0], "content": [1.0, 0.3], "null_sink": [0.0, 1.0]},
    ],
)
def test_equation(version: str, changed: dict[str, Any], listed: bool) -> None:
    router = layer(version)
    x, params = setting(router, batch=1)
    geometry = random_graph(x.shape[1])
    if listed:
        geometry = geometry.replace(edges=list_edges(geometry.mask))
    new = {name: jnp.asarray(value, jnp.float32) for name, value in changed.items()}
    knobs = neutral_knobs(router) | new
    y, routing = router.apply(params, x, geometry, knobs)
    weights, wanted = reference(
        params, version, np.asarray(x[0], np.float64), geometry, knobs
    )
    np.testing.assert_allclose(routing.weights[0], weights, **TOLERANCE)
    np.testing.assert_allclose(y[0], wanted, **TOLERANCE)
    np.testing.assert_allclose(routing.null_mass[0], 1 - weights.sum(-1), **TOLERANCE)


def test_only_v1_ranks_sources_alike_for_every_query() -> None:
    orders = {}
    for version in ("v1", "v2"):
        router = layer(version, heads=1)
        x, params = setting(router, nodes=12)
        everyone = ring_geometry(12).replace(mask=jnp.ones((12, 12), bool))
        _, routing = router.apply(params, x, everyone, neutral_knobs(router))
        order = np.argsort(routing.weights[0, 0], axis=-1)
        orders[version] = len({tuple(row) for row in order})
    assert orders["v1"] == 1
    assert orders["v2"] > 1


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_strong_brake_is_the_identity(version: str) -> None:
    router = layer(version)
    x, params = setting(router)
    knobs = neutral_knobs(router) | {"brake": jnp.float32(1e4)}
    _, routing = router.apply(params, x, ring_geometry(7), knobs)
    eye = np.broadcast_to(np.eye(7, dtype=np.float32), routing.weights.shape)
    np.testing.assert_allclose(routing.weights, eye, **TOLERANCE)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_batch_may_hold_different_graphs(version: str) -> None:
    router = layer(version)
    x, params = setting(router)
    graphs = [random_graph(7, seed) for seed in (0, 1)]
    knobs = neutral_knobs(router) | {"brake": jnp.float32(0.5)}
    together = jax.tree.map(lambda *parts: jnp.stack(parts), *graphs)
    y, _ = router.apply(params, x, together, knobs)
    for unit, graph in enumerate(graphs):
        alone, _ = router.apply(params, x[unit : unit + 1], graph, knobs)
        np.testing.assert_allclose(y[unit], alone[0], **TOLERANCE)


# One query at a time, blocks that divide the queries, and blocks that do not.
@pytest.mark.parametrize(("block", "nodes"), [(1, 5), (144, 6), (260, 7)])
def test_blocks_change_neither_scores_nor_gradients(block: int, nodes: int) -> None:
    keys = jax.random.split(jax.random.key(nodes), 3)
    target = jax.random.normal(keys[0], (2, nodes, 2, 3))
    source = jax.random.normal(keys[1], (2, nodes, 2, 3))
    vector = jax.random.normal(keys[2], (2, 3))

    def total(block: int, target: Any, source: Any, vector: Any) -> tuple[Any, Any]:
        scores = dynamic_scores(target, source, vector, 0.2, block)
        return jnp.sum(jnp.sin(scores)), scores

    def run(block: int) -> Any:
        grad = jax.grad(total, argnums=(1, 2, 3), has_aux=True)
        return grad(block, target, source, vector)

    for one, two in zip(
        jax.tree.leaves(run(block)), jax.tree.leaves(run(10**9)), strict=True
    ):
        np.testing.assert_allclose(one, two, **TOLERANCE)


def test_training_v2_never_holds_the_whole_score_tensor() -> None:
    nodes, width = 900, 32
    shape = jax.ShapeDtypeStruct((1, nodes, 2, width // 2), jnp.float32)
    vector = jax.ShapeDtypeStruct((2, width // 2), jnp.float32)

    def loss(target: Any, source: Any, vector: Any) -> Any:
        return jnp.sum(jnp.sin(dynamic_scores(target, source, vector, 0.2)))

    compiled = jax.jit(jax.grad(loss, argnums=(0, 1, 2))).lower(shape, shape, vector)
    memory: Any = compiled.compile().memory_analysis()
    assert memory.temp_size_in_bytes < 0.7 * nodes * nodes * width * 4


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"version": "v3"}, "version='v3': must be one of v1, v2"),
        ({"heads": 0}, "heads=0: must be at least 1"),
    ],
)
def test_config_names_what_is_wrong(settings_: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GraphAttentionConfig(**settings_)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="heads=3: must divide the model width 8"):
        setting(layer("v1", heads=3))
