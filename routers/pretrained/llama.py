"""Llama-shaped decoders: Llama, SmolLM, Qwen2, Qwen3, Mistral.

    x += attention(RMSNorm(x));  x += W_down (silu(W_gate n) o W_up n), n = RMSNorm(x)

Queries are grouped and rotated; Qwen3 normalises queries and keys before that. A GGUF
file is presented under the same names (`routers.pretrained.gguf_file`).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from routers.base import Array
from routers.grouped_attention import (
    GroupedAttention,
    GroupedAttentionConfig,
    rms_norm,
)
from routers.pretrained.network import Layer, Network, Params, Sizes, dense, take
from routers.pretrained.settings import frequencies
from routers.pretrained.source import Source
from routers.pretrained.tensors import Read


def read_llama(source: Source) -> Network:
    """The network of a Llama-shaped decoder."""
    return llama(source, normed=source.settings.values["model_type"] == "qwen3")


def llama(source: Source, normed: bool) -> Network:
    """The network, with or without a norm of queries and keys."""
    settings = source.settings
    width, hidden, vocabulary = (
        settings.integer(name)
        for name in ("hidden_size", "intermediate_size", "vocab_size")
    )
    if "head_dim" in settings:
        heads = settings.integer("num_attention_heads")
        channels = settings.integer("head_dim")
    else:
        heads = settings.divisor("num_attention_heads", width, "hidden_size")
        channels = width // heads
    groups = settings.divisor(
        "num_key_value_heads", heads, "num_attention_heads", heads
    )
    epsilon = settings.number("rms_norm_eps", 1e-6)
    family = settings.values["model_type"]
    settings.choice("hidden_act", ("silu",), "silu")
    settings.choice("mlp_bias", (False,), False)
    settings.choice("use_sliding_window", (False,), False)
    bias = settings.choice("attention_bias", (True, False), family == "qwen2")
    tied = settings.choice("tie_word_embeddings", (True, False), False)

    def layer_weights(read: Read) -> Params:
        rows = {"q": heads * channels, "k": groups * channels, "v": groups * channels}
        matrices = [
            read(f"self_attn.{part}_proj.weight", size, width)
            for part, size in rows.items()
        ]
        router = {
            "qkv": np.concatenate(matrices).T,
            "out": read("self_attn.o_proj.weight", width, heads * channels).T,
        }
        if bias:
            biases = [
                read(f"self_attn.{p}_proj.bias", size) for p, size in rows.items()
            ]
            router["qkv_bias"] = np.concatenate(biases)
            router["out_bias"] = (
                np.zeros(width, np.float32)  # Qwen2 has none
                if family == "qwen2"
                else read("self_attn.o_proj.bias", width)
            )
        if normed:
            router["query_gain"] = read("self_attn.q_norm.weight", channels)
            router["key_gain"] = read("self_attn.k_norm.weight", channels)
        gated = [
            read(f"mlp.{part}_proj.weight", hidden, width) for part in ("gate", "up")
        ]
        return {
            "router": router,
            "router_norm": read("input_layernorm.weight", width),
            "mlp_norm": read("post_attention_layernorm.weight", width),
            "gate_up": np.concatenate(gated).T,
            "down": read("mlp.down_proj.weight", width, hidden).T,
        }

    def embedding_weights(read: Read) -> Params:
        return {"table": read("model.embed_tokens.weight", vocabulary, width)}

    def head_weights(read: Read) -> Params:
        name = "model.embed_tokens.weight" if tied else "lm_head.weight"
        return {
            "norm": read("model.norm.weight", width),
            "unembedding": read(name, vocabulary, width).T,
        }

    router = GroupedAttention(
        width,
        GroupedAttentionConfig(
            heads=heads,
            key_heads=groups,
            head_width=channels,
            frequencies=frequencies(settings, channels),
            norm_epsilon=epsilon if normed else 0.0,
            bias=bias,
            dtype=source.dtype,
        ),
    )
    return Network(
        family=family,
        sizes=Sizes(settings.integer("num_hidden_layers"), width, heads, vocabulary),
        layer=Layer(
            router,
            functools.partial(_read, epsilon=epsilon),
            functools.partial(_write, epsilon=epsilon),
        ),
        embed=lambda params, tokens: take(params["table"], tokens),
        logits=lambda params, stream: dense(
            rms_norm(stream, params["norm"], epsilon), params["unembedding"]
        ),
        tensors=source.tensors,
        embedding_weights=embedding_weights,
        layer_weights=layer_weights,
        head_weights=head_weights,
        prefix="model.layers.{}.",
        ignored=r".*rotary_emb\.inv_freq" + (r"|lm_head\.weight" if tied else ""),
    )


def _read(params: Params, stream: Array, epsilon: float) -> Array:
    return rms_norm(stream, params["router_norm"], epsilon)


def _write(params: Params, stream: Array, y: Array, epsilon: float) -> Array:
    stream = stream + y.astype(stream.dtype)
    return stream + gated_mlp(params, rms_norm(stream, params["mlp_norm"], epsilon))


def gated_mlp(params: Params, x: Array) -> Array:
    """``W_down (silu(W_gate x) o W_up x)`` of ``[B, T, D]``."""
    gate, up = jnp.split(dense(x, params["gate_up"]), 2, axis=-1)
    return dense(jax.nn.silu(gate) * up, params["down"])
