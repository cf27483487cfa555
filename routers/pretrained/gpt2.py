"""GPT-2: learned positions, layer norms, biases everywhere, tied output.

    x = E[token] + P[position];  x += attention(LN(x));  x += MLP(LN(x))

Its matrices are stored ``[in, out]`` like ours, with queries, keys and values side by
side and heads as the slow part of each.
"""

import functools

import jax.numpy as jnp

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
from routers.pretrained.source import Source
from routers.pretrained.tensors import Read


def read_gpt2(source: Source) -> Network:
    """The network of a GPT-2."""
    settings = source.settings
    width = settings.integer("n_embd")
    heads = settings.divisor("n_head", width, "n_embd")
    vocabulary = settings.integer("vocab_size")
    positions = settings.integer("n_positions")
    hidden = settings.integer("n_inner", 4 * width)
    epsilon = settings.number("layer_norm_epsilon", 1e-5)
    activation = settings.choice("activation_function", tuple(ACTIVATIONS), "gelu_new")
    settings.choice("scale_attn_weights", (True,), True)
    settings.choice("scale_attn_by_inverse_layer_idx", (False,), False)
    tied = settings.choice("tie_word_embeddings", (True, False), True)

    def norm(read: Read, name: str) -> Params:
        return {
            "gain": read(f"{name}.weight", width),
            "bias": read(f"{name}.bias", width),
        }

    def layer_weights(read: Read) -> Params:
        return {
            "router": {
                "qkv": read("attn.c_attn.weight", width, 3 * width),
                "qkv_bias": read("attn.c_attn.bias", 3 * width),
                "out": read("attn.c_proj.weight", width, width),
                "out_bias": read("attn.c_proj.bias", width),
            },
            "router_norm": norm(read, "ln_1"),
            "mlp_norm": norm(read, "ln_2"),
            "mlp": {
                "up": read("mlp.c_fc.weight", width, hidden),
                "up_bias": read("mlp.c_fc.bias", hidden),
                "down": read("mlp.c_proj.weight", hidden, width),
                "down_bias": read("mlp.c_proj.bias", width),
            },
        }

    def embedding_weights(read: Read) -> Params:
        return {
            "table": read("wte.weight", vocabulary, width),
            "positions": read("wpe.weight", positions, width),
        }

    def head_weights(read: Read) -> Params:
        name = "wte.weight" if tied else "lm_head.weight"
        return {
            "norm": norm(read, "ln_f"),
            "unembedding": read(name, vocabulary, width).T,
        }

    config = GroupedAttentionConfig(heads=heads, bias=True, dtype=source.dtype)
    return Network(
        family="gpt2",
        sizes=Sizes(settings.integer("n_layer"), width, heads, vocabulary, positions),
        layer=Layer(
            GroupedAttention(width, config),
            functools.partial(_read, epsilon=epsilon),
            functools.partial(_write, epsilon=epsilon, activation=activation),
        ),
        embed=_embed,
        logits=lambda params, stream: dense(
            layer_norm(stream, params["norm"], epsilon), params["unembedding"]
        ),
        tensors=source.tensors.renamed(lambda n: n.removeprefix("transformer.")),
        embedding_weights=embedding_weights,
        layer_weights=layer_weights,
        head_weights=head_weights,
        prefix="h.{}.",
        ignored=r"h\.\d+\.attn\.(masked_)?bias" + (r"|lm_head\.weight" if tied else ""),
    )


def _embed(params: Params, tokens: Array) -> Array:
    positions = params["positions"][: tokens.shape[-1]].astype(jnp.float32)
    return take(params["table"], tokens) + positions[None]


def _read(params: Params, stream: Array, epsilon: float) -> Array:
    return layer_norm(stream, params["router_norm"], epsilon)


def _write(
    params: Params, stream: Array, y: Array, epsilon: float, activation: str
) -> Array:
    stream = stream + y.astype(stream.dtype)
    x = layer_norm(stream, params["mlp_norm"], epsilon)
    return stream + mlp(x, params["mlp"], activation)
