"""BERT encoders, such as MiniLM: read in both directions, norms after every sublayer.

    x = LN(E[token] + P[position] + S[0])
    x = LN(x + attention(x));  x = LN(x + MLP(x))

Every token is of the first segment. There are no logits: heads for masked words or
pooling, if a checkpoint has them, are not read. The geometry is a complete graph.
"""

import functools

import jax.numpy as jnp
import numpy as np

from routers.base import Array
from routers.grouped_attention import (
    GroupedAttention,
    GroupedAttentionConfig,
    sequence_geometry,
)
from routers.pretrained.network import (
    ACTIVATIONS,
    Layer,
    Network,
    Params,
    Sizes,
    layer_norm,
    mlp,
    take,
)
from routers.pretrained.source import Source
from routers.pretrained.tensors import Read

PARTS = ("query", "key", "value")


def read_bert(source: Source) -> Network:
    """The network of a BERT encoder."""
    settings = source.settings
    width = settings.integer("hidden_size")
    heads = settings.divisor("num_attention_heads", width, "hidden_size")
    hidden, vocabulary, positions, segments = (
        settings.integer(name)
        for name in (
            "intermediate_size",
            "vocab_size",
            "max_position_embeddings",
            "type_vocab_size",
        )
    )
    epsilon = settings.number("layer_norm_eps", 1e-12)
    activation = settings.choice("hidden_act", tuple(ACTIVATIONS), "gelu")
    settings.choice("position_embedding_type", ("absolute",), "absolute")
    settings.choice("is_decoder", (False,), False)

    def norm(read: Read, name: str) -> Params:
        return {
            "gain": read(f"{name}.LayerNorm.weight", width),
            "bias": read(f"{name}.LayerNorm.bias", width),
        }

    def layer_weights(read: Read) -> Params:
        own = "attention.self"
        matrices = [read(f"{own}.{part}.weight", width, width) for part in PARTS]
        biases = [read(f"{own}.{part}.bias", width) for part in PARTS]
        return {
            "router": {
                "qkv": np.concatenate(matrices).T,
                "qkv_bias": np.concatenate(biases),
                "out": read("attention.output.dense.weight", width, width).T,
                "out_bias": read("attention.output.dense.bias", width),
            },
            "router_norm": norm(read, "attention.output"),
            "mlp_norm": norm(read, "output"),
            "mlp": {
                "up": read("intermediate.dense.weight", hidden, width).T,
                "up_bias": read("intermediate.dense.bias", hidden),
                "down": read("output.dense.weight", width, hidden).T,
                "down_bias": read("output.dense.bias", width),
            },
        }

    def embedding_weights(read: Read) -> Params:
        name = "embeddings.{}_embeddings.weight"
        return {
            "table": read(name.format("word"), vocabulary, width),
            "positions": read(name.format("position"), positions, width),
            "segments": read(name.format("token_type"), segments, width),
            "norm": norm(read, "embeddings"),
        }

    config = GroupedAttentionConfig(heads=heads, bias=True, dtype=source.dtype)
    return Network(
        family="bert",
        sizes=Sizes(
            settings.integer("num_hidden_layers"), width, heads, vocabulary, positions
        ),
        layer=Layer(
            GroupedAttention(width, config),
            lambda params, stream: stream,
            functools.partial(_write, epsilon=epsilon, activation=activation),
        ),
        embed=functools.partial(_embed, epsilon=epsilon),
        logits=None,
        tensors=source.tensors.renamed(lambda name: name.removeprefix("bert.")),
        embedding_weights=embedding_weights,
        layer_weights=layer_weights,
        head_weights=lambda read: {},
        prefix="encoder.layer.{}.",
        geometry=sequence_geometry,
        ignored=r"(pooler|cls|classifier)\..*|embeddings\.position_ids",
    )


def _embed(params: Params, tokens: Array, epsilon: float) -> Array:
    positions = params["positions"][: tokens.shape[-1]] + params["segments"][:1]
    x = take(params["table"], tokens) + positions.astype(jnp.float32)[None]
    return layer_norm(x, params["norm"], epsilon)


def _write(
    params: Params, stream: Array, y: Array, epsilon: float, activation: str
) -> Array:
    routed = stream + y.astype(stream.dtype)
    x = layer_norm(routed, params["router_norm"], epsilon)
    return layer_norm(
        x + mlp(x, params["mlp"], activation), params["mlp_norm"], epsilon
    )
