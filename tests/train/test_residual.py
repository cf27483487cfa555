"""The residual stream that the network reports is the one that its layers read."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from routers import Attention, causal_geometry, neutral_knobs
from routers.base import Router
from routers.depth_attention import DepthAttention
from routers.hyper_connections import HyperConnections
from train.backbone import Backbone, BackboneConfig

LAYERS, LENGTH, WIDTH = 2, 5, 8


def run(depth: Callable[..., Router] | None) -> tuple[np.ndarray, Any, Any]:
    """Stream ``[L + 1, 1, T, D]``, outputs of modules, and parameters."""
    sizes = BackboneConfig(7, LENGTH, WIDTH, LAYERS, 1, embedding_scale=1.0)
    model = Backbone(sizes, functools.partial(Attention), depth)
    slots: dict[str, Any] = {"token": Attention} | ({"depth": depth} if depth else {})
    knobs = {
        f"{slot}.{name}": value
        for slot, router in slots.items()
        for name, value in neutral_knobs(router).items()
    }
    inputs, geometry = jnp.arange(LENGTH)[None], causal_geometry(LENGTH)

    @jax.jit
    def build(key: jax.Array) -> Any:
        params = model.init(key, inputs, geometry, knobs)["params"]
        # Vectors start at zeros or ones, at which some mistakes would not show.
        params = jax.tree.map(
            lambda x: x + 0.3 * jnp.sin(jnp.arange(x.size)).reshape(x.shape), params
        )
        outputs, inner = model.apply(
            {"params": params}, inputs, geometry, knobs, capture_intermediates=True
        )
        return outputs[2], inner["intermediates"], params

    stream, inner, params = build(jax.random.key(0))
    assert stream.shape == (LAYERS + 1, 1, LENGTH, WIDTH)
    embedded = params["embedding"][inputs] + params["positions"][None]
    np.testing.assert_allclose(stream[0], embedded, rtol=1e-5)
    return np.asarray(stream), inner, params


def normed(x: np.ndarray, params: Any) -> np.ndarray:
    """LayerNorm from its definition."""
    centred = x - x.mean(-1, keepdims=True)
    spread = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
    return centred / spread * np.asarray(params["scale"]) + np.asarray(params["bias"])


def updates(inner: Any, layer: int) -> tuple[np.ndarray, np.ndarray]:
    """What the router and the MLP of a layer wrote, ``[1, T, D]``."""
    routed = inner[f"token_{layer}"]["__call__"][0][0]
    mlp = inner[f"mlp_{layer}"]["__call__"][0].reshape(routed.shape)
    return np.asarray(routed), np.asarray(mlp)


@pytest.mark.parametrize("depth", [None, DepthAttention])
def test_layers_and_unembedding_read_the_stream(depth: type[Router] | None) -> None:
    stream, inner, params = run(depth)
    norms = [f"token_norm_{layer}" for layer in range(LAYERS)] + ["final_norm"]
    for x, name in zip(stream, norms, strict=True):
        read = inner[name]["__call__"][0]
        np.testing.assert_allclose(normed(x, params[name]), read, rtol=1e-4, atol=1e-5)
    for layer in range(LAYERS if depth is None else 0):
        wanted = stream[layer] + sum(updates(inner, layer))
        np.testing.assert_allclose(stream[layer + 1], wanted, rtol=1e-4, atol=1e-5)


def test_the_mean_over_streams_only_changes_by_what_is_written() -> None:
    stream, inner, params = run(HyperConnections)
    for layer in range(LAYERS):
        gates = [params[f"stream_write_{2 * layer + i + 1}"] for i in range(2)]
        both = zip(updates(inner, layer), gates, strict=True)
        wanted = stream[layer] + sum(np.mean(gate) * written for written, gate in both)
        np.testing.assert_allclose(stream[layer + 1], wanted, rtol=1e-3, atol=1e-3)
