"""GPT-NeoX and Pythia: attention and MLP side by side, partly rotated heads.

    x += attention(LN_1(x)) + MLP(LN_2(x))        (or one after the other)

Its matrices are stored ``[out, in]``, and *out* of the fused projection runs over heads
first, then over query, key and value within a head.
"""

import functools

import numpy as np

from routers.base import Array
from routers.grouped_attention import GroupedAttention, GroupedAttentionConfig
from routers.pretrained.network import (
    ACTIVATIONS,
    Layer,
    Network,
    Params,
    Sizes,
    dense,
    layer_norm,
    mlp,
    take,
)
from routers.pretrained.settings import frequencies
from routers.pretrained.source import Source
from routers.pretrained.tensors import Read


def parts_before_heads(rows: np.ndarray, heads: int) -> np.ndarray:
    """Reorders the rows ``[H 3 K, ...]`` to ``[3 H K, ...]``."""
    by_head = rows.reshape(heads, 3, -1, *rows.shape[1:])
    return by_head.swapaxes(0, 1).reshape(rows.shape)


def read_gpt_neox(source: Source) -> Network:
    """The network of a GPT-NeoX."""
    settings = source.settings
    width = settings.integer("hidden_size")
    heads = settings.divisor("num_attention_heads", width, "hidden_size")
    hidden, vocabulary = (
        settings.integer(name) for name in ("intermediate_size", "vocab_size")
    )
    epsilon = settings.number("layer_norm_eps", 1e-5)
    activation = settings.choice("hidden_act", tuple(ACTIVATIONS), "gelu")
    parallel = settings.choice("use_parallel_residual", (True, False), True)
    biased = settings.choice("attention_bias", (True, False), True)
    tied = settings.choice("tie_word_embeddings", (True, False), False)

    def norm(read: Read, name: str) -> Params:
        return {
            "gain": read(f"{name}.weight", width),
            "bias": read(f"{name}.bias", width),
        }

    def layer_weights(read: Read) -> Params:
        fused = read("attention.query_key_value.weight", 3 * width, width)
        router = {
            "qkv": parts_before_heads(fused, heads).T,
            "out": read("attention.dense.weight", width, width).T,
        }
        if biased:
            bias = read("attention.query_key_value.bias", 3 * width)
            router["qkv_bias"] = parts_before_heads(bias, heads)
            router["out_bias"] = read("attention.dense.bias", width)
        return {
            "router": router,
            "router_norm": norm(read, "input_layernorm"),
            "mlp_norm": norm(read, "post_attention_layernorm"),
            "mlp": {
                "up": read("mlp.dense_h_to_4h.weight", hidden, width).T,
                "up_bias": read("mlp.dense_h_to_4h.bias", hidden),
                "down": read("mlp.dense_4h_to_h.weight", width, hidden).T,
                "down_bias": read("mlp.dense_4h_to_h.bias", width),
            },
        }

    def embedding_weights(read: Read) -> Params:
        return {"table": read("embed_in.weight", vocabulary, width)}

    def head_weights(read: Read) -> Params:
        name = "embed_in.weight" if tied else "embed_out.weight"
        return {
            "norm": norm(read, "final_layer_norm"),
            "unembedding": read(name, vocabulary, width).T,
        }

    config = GroupedAttentionConfig(
        heads=heads,
        frequencies=frequencies(
            settings, width // heads, "rotary_emb_base", "rotary_pct"
        ),
        bias=biased,
        dtype=source.dtype,
    )
    return Network(
        family="gpt_neox",
        sizes=Sizes(settings.integer("num_hidden_layers"), width, heads, vocabulary),
        layer=Layer(
            GroupedAttention(width, config),
            functools.partial(_read, epsilon=epsilon),
            functools.partial(
                _write, epsilon=epsilon, activation=activation, parallel=parallel
            ),
        ),
        embed=lambda params, tokens: take(params["table"], tokens),
        logits=lambda params, stream: dense(
            layer_norm(stream, params["norm"], epsilon), params["unembedding"]
        ),
        tensors=source.tensors.renamed(lambda n: n.removeprefix("gpt_neox.")),
        embedding_weights=embedding_weights,
        layer_weights=layer_weights,
        head_weights=head_weights,
        prefix="layers.{}.",
        ignored=r"layers\.\d+\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)"
        + (r"|embed_out\.weight" if tied else ""),
    )


def _read(params: Params, stream: Array, epsilon: float) -> Array:
    return layer_norm(stream, params["router_norm"], epsilon)


def _write(
    params: Params,
    stream: Array,
    y: Array,
    epsilon: float,
    activation: str,
    parallel: bool,
) -> Array:
    routed = stream + y.astype(stream.dtype)
    x = layer_norm(stream if parallel else routed, params["mlp_norm"], epsilon)
    return routed + mlp(x, params["mlp"], activation)
