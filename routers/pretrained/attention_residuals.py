"""Qwen3 whose sublayers read earlier blocks by attention, not the running sum.

    h = sum_s A_s v_s,  x += attention(RMSNorm(h));  h = sum_s A'_s v_s,  x += MLP(...)

The sources v are the states at the ends of earlier blocks of layers, the embedding
first, and the running state x last, whose logit has a learned bias. Both readings of a
layer are `DepthAttention`: the bias is its brake, at the neutral value 1 here, on the
distance ``b`` from all sources but the last (from the last one, if b is negative).

The stream of a block holds all of this, see `Depth`. Where x has not changed since the
last block ended it is the same source twice: the recorded weights add the two.

Reference: github.com/wdlctc/open-attention-residuals, block mode without gates.
"""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax

from routers.base import Array, Geometry, neutral_knobs
from routers.depth_attention import DepthAttention, DepthAttentionConfig
from routers.grouped_attention import rms_norm
from routers.pretrained.llama import gated_mlp, llama
from routers.pretrained.network import Layer, Network, Params, dense
from routers.pretrained.source import Source
from routers.pretrained.tensors import Read

READINGS = ("attn", "mlp")


class Depth(struct.PyTreeNode):
    """The state between two layers.

    Attributes:
      blocks: States at the ends of blocks, zero where not reached, ``[B, T, N, D]``.
      state: The running state ``[B, T, D]``.
      layer: Index of the next layer, int32.
      weights: Weights of every reading so far, ``[B, T, 2 L, N + 1]``, the running
        state last; zero where a reading is still to come.
      seen: Whether a reading sees a source, bool ``[2 L, N + 1]``; no source is counted
        twice.
    """

    blocks: Array
    state: Array
    layer: Array
    weights: Array
    seen: Array


def sources_seen(layers: int, span: int) -> np.ndarray:
    """`Depth.seen` for blocks of ``span`` layers."""
    blocks = 1 + (layers - 1) // span
    layer = np.repeat(np.arange(layers), 2)[:, None]
    second = np.tile([False, True], layers)[:, None]
    finished = np.arange(blocks)[None] <= layer // span
    return np.concatenate([finished, second | (layer % span != 0)], axis=1)


def read_attention_residuals(source: Source) -> Network:
    """The network of a Qwen3 with block attention residuals."""
    settings, plain = source.settings, llama(source, normed=True)
    settings.choice("attnres_mode", ("block",), "block")
    settings.choice("attnres_gate_type", ("bias",), "bias")
    layers, width = plain.sizes.layers, plain.sizes.width
    span = -(-layers // settings.integer("attnres_num_blocks", 8))
    epsilon = settings.number("rms_norm_eps", 1e-6)
    seen = sources_seen(layers, span)
    blocks = seen.shape[1] - 1
    depth = DepthAttention(width, DepthAttentionConfig(epsilon=epsilon))

    def layer_weights(read: Read) -> Params:
        readings = {
            name: {
                "query": read(f"{name}_res_proj.weight", 1, width)[0],
                "gain": read(f"{name}_res_norm.weight", width),
                "bias": read(f"{name}_res_bias"),
                "knobs": neutral_knobs(depth) | {"brake": np.ones((), np.float32)},
            }
            for name in READINGS
        }
        return dict(plain.layer_weights(read)) | readings

    def embed(params: Params, tokens: Array) -> Depth:
        x = plain.embed(params, tokens)
        later = jnp.zeros((*x.shape[:2], blocks - 1, width))
        return Depth(
            blocks=jnp.concatenate([x[:, :, None], later], axis=2),
            state=x,
            layer=jnp.int32(0),
            weights=jnp.zeros((*x.shape[:2], *seen.shape)),
            seen=jnp.asarray(seen),
        )

    def logits(params: Params, stream: Depth) -> Array:
        normed = rms_norm(stream.state, params["norm"], epsilon)
        return dense(normed, params["unembedding"])

    def attend(params: Params, stream: Depth) -> tuple[Array, Array]:
        batch, length, width = stream.state.shape
        sources = jnp.concatenate([stream.blocks, stream.state[:, :, None]], axis=2)
        bias = params["bias"]
        finished = jnp.arange(blocks) <= stream.layer // span
        mask = jnp.append(finished, True)[None]
        others = jnp.broadcast_to(jnp.maximum(bias, 0.0), (blocks,))
        distance = jnp.append(others, jnp.maximum(-bias, 0.0))[None]
        own = {"params": {"query": params["query"], "gain": params["gain"]}}
        flat = sources.reshape(-1, blocks + 1, width)
        geometry = Geometry(distance, mask, "depth")
        routed: Any = depth.apply(own, flat, geometry, params["knobs"])
        y, routing = routed
        weights = routing.weights.reshape(batch, length, blocks + 1)
        return y.reshape(batch, length, width), weights

    def read(params: Params, stream: Depth) -> Array:
        h, _ = attend(params["attn"], stream)
        return rms_norm(h, params["router_norm"], epsilon)

    def write(params: Params, stream: Depth, y: Array) -> Depth:
        layer, last = stream.layer, (stream.layer + 1) % span == 0
        _, first = attend(params["attn"], stream)
        # Nothing was added to the state since the block before ended: one source.
        newest = jnp.arange(blocks + 1) == layer // span
        twice = first + jnp.where(newest[None, None], first[..., -1:], 0.0)
        twice = jnp.where(jnp.arange(blocks + 1)[None, None] == blocks, 0.0, twice)
        first = jnp.where(layer % span == 0, twice, first)
        stream = stream.replace(state=stream.state + y.astype(jnp.float32))
        h, second = attend(params["mlp"], stream)
        x = rms_norm(h, params["mlp_norm"], epsilon)
        state = stream.state + gated_mlp(params, x)
        ends = last & (jnp.arange(blocks) == (layer + 1) // span)
        both = jnp.stack([first, second], axis=2)
        starts = (0, 0, 2 * layer, 0)
        return stream.replace(
            blocks=jnp.where(
                ends[None, None, :, None], state[:, :, None], stream.blocks
            ),
            state=state,
            layer=layer + 1,
            weights=lax.dynamic_update_slice(stream.weights, both, starts),
        )

    return dataclasses.replace(
        plain,
        layer=Layer(plain.layer.router, read, write),
        embed=embed,
        logits=logits,
        layer_weights=layer_weights,
        hidden=lambda stream: stream.state,
    )
