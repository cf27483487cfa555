"""RWKV-4: time mixing by a router, channel mixing in place of an MLP.

    x += time_mixing(LN_1(x));  x += sigmoid(r) o (W_value relu(k)^2)

where k and r are products of LN_2(x), mixed with the position before. Transformers
halves weights and stream every ``rescale_every`` layers against overflow; here they
stay as they are, which gives the same logits.

`TABLE` lists all names. A torch ``Linear`` holds ``[out, in]``, whereas `RWKV4`
multiplies from the right and stacks the matrices that it fuses. ``time_decay`` is the
raw exponent ``w`` on both sides; its sign and exponential are applied where it is used.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from routers.base import Array
from routers.pretrained.network import (
    Layer,
    Network,
    Params,
    Sizes,
    dense,
    layer_norm,
    take,
)
from routers.pretrained.source import Source
from routers.pretrained.tensors import Read
from routers.recurrence import shift_tokens
from routers.rwkv import RWKV4, RWKV4Config
from routers.validation import head_width

TABLE: Mapping[str, tuple[str, ...]] = {
    "kvr": ("key.weight", "value.weight", "receptance.weight"),  # transposed, stacked
    "out": ("output.weight",),  # transposed
    "time_decay": ("time_decay",),  # [D] -> [H, K]
    "time_first": ("time_first",),  # [D] -> [H, K]
    "time_mix": (  # [1, 1, D] each, stacked
        "time_mix_key",
        "time_mix_value",
        "time_mix_receptance",
    ),
}
"""Our parameters, each with the published ones that it consists of, in order."""

STACKED = ("kvr", "time_mix")
"""Our parameters that stack several published ones."""


def router_params(
    weights: Mapping[str, np.ndarray], heads: int = 1
) -> dict[str, jax.Array]:
    """Parameters of `RWKV4` from one published attention block.

    Args:
      weights: Weights by published name, without the prefix of the block.
      heads: Number of groups of channels H; any divisor of the width gives the same
        output.

    Returns:
      The tree under ``"params"``, float32.

    Raises:
      KeyError: A name of `TABLE` is missing.
    """

    def convert(name: str, parts: tuple[str, ...]) -> jax.Array:
        arrays = [
            weights[part].T if part.endswith(".weight") else weights[part]
            for part in parts
        ]
        joined = np.stack(arrays) if name in STACKED else arrays[0]
        if joined.ndim == 1:
            joined = joined.reshape(heads, -1)
        return jnp.asarray(joined, jnp.float32)

    return {name: convert(name, parts) for name, parts in TABLE.items()}


def read_rwkv(source: Source) -> Network:
    """The network of an RWKV-4. Channels are reported in ``source.groups`` groups."""
    settings = source.settings
    width, vocabulary = (
        settings.integer(name) for name in ("hidden_size", "vocab_size")
    )
    settings.choice("attention_hidden_size", (width,), width)
    head_width(width, source.groups, "groups", "hidden_size")
    hidden = settings.integer("intermediate_size", 4 * width)
    epsilon = settings.number("layer_norm_epsilon", 1e-5)
    tied = settings.choice("tie_word_embeddings", (True, False), False)
    mixes = {
        f"time_mix_{part}": (1, 1, width) for part in ("key", "value", "receptance")
    }
    square = ("key.weight", "value.weight", "receptance.weight", "output.weight")
    shapes = {
        **mixes,
        **dict.fromkeys(square, (width, width)),
        **dict.fromkeys(("time_decay", "time_first"), (width,)),
    }

    def norm(read: Read, name: str) -> Params:
        return {
            "gain": read(f"{name}.weight", width),
            "bias": read(f"{name}.bias", width),
        }

    def layer_weights(read: Read) -> Params:
        attention = {name: read(f"attention.{name}", *shapes[name]) for name in shapes}
        own = "feed_forward"
        return {
            "router": router_params(attention, source.groups),
            "router_norm": norm(read, "ln1"),
            "mix_norm": norm(read, "ln2"),
            "mix_key": read(f"{own}.time_mix_key", 1, 1, width),
            "mix_receptance": read(f"{own}.time_mix_receptance", 1, 1, width),
            "key": read(f"{own}.key.weight", hidden, width).T,
            "receptance": read(f"{own}.receptance.weight", width, width).T,
            "value": read(f"{own}.value.weight", width, hidden).T,
        }

    def embedding_weights(read: Read) -> Params:
        return {
            "table": read("rwkv.embeddings.weight", vocabulary, width),
            "norm": norm(read, "rwkv.pre_ln"),
        }

    def head_weights(read: Read) -> Params:
        name = "rwkv.embeddings.weight" if tied else "head.weight"
        return {
            "norm": norm(read, "rwkv.ln_out"),
            "unembedding": read(name, vocabulary, width).T,
        }

    def read(params: Params, stream: Array) -> Array:
        return layer_norm(stream, params["router_norm"], epsilon)

    def write(params: Params, stream: Array, y: Array) -> Array:
        stream = stream + y.astype(stream.dtype)
        x = layer_norm(stream, params["mix_norm"], epsilon)
        change = shift_tokens(x) - x

        def mixed(name: str) -> Array:
            return x + change * (1 - params[name].astype(jnp.float32))

        key = jnp.square(jax.nn.relu(dense(mixed("mix_key"), params["key"])))
        receptance = dense(mixed("mix_receptance"), params["receptance"])
        return stream + jax.nn.sigmoid(receptance) * dense(key, params["value"])

    config = RWKV4Config(heads=source.groups, dtype=source.dtype)
    return Network(
        family="rwkv",
        sizes=Sizes(
            settings.integer("num_hidden_layers"), width, source.groups, vocabulary
        ),
        layer=Layer(RWKV4(width, config), read, write),
        embed=lambda params, tokens: layer_norm(
            take(params["table"], tokens), params["norm"], epsilon
        ),
        logits=lambda params, stream: dense(
            layer_norm(stream, params["norm"], epsilon), params["unembedding"]
        ),
        tensors=source.tensors.renamed(_before_the_blocks),
        embedding_weights=embedding_weights,
        layer_weights=layer_weights,
        head_weights=head_weights,
        prefix="rwkv.blocks.{}.",
        ignored=r"head\.weight" if tied else "",
    )


def _before_the_blocks(name: str) -> str:
    """The norm of the embedding is stored in the first of the blocks."""
    return name.replace("rwkv.blocks.0.pre_ln", "rwkv.pre_ln")
