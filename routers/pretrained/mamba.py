"""Mamba and Mamba-2: a state-space router in every layer, and nothing else.

    x += mixer(RMSNorm(x))

There is one table per family, with the checkpoint's name, our name and the function
that converts the array. A name outside of the table (such as a
bias of the projections, which the published models do not have) is an error, so that it
cannot cause a silent difference. Frozen constants do not exist in a checkpoint: that of
Delta is taken from its bias, those of B and C from our initialisation. They have no
effect at ``selectivity = 1``; `onset measure` replaces them by means over its windows.
"""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from routers.base import Array, Router
from routers.grouped_attention import rms_norm
from routers.pretrained.network import Layer, Network, Params, Sizes, dense, take
from routers.pretrained.source import Source
from routers.pretrained.tensors import Read
from routers.selective_ssm import SelectiveSSM, SelectiveSSMConfig
from routers.ssd import EPSILON, SSD, SSDConfig
from routers.validation import head_width

Table = Mapping[str, tuple[str, Callable[[np.ndarray], np.ndarray]]]


def _same(weight: np.ndarray) -> np.ndarray:
    return weight


def _transposed(weight: np.ndarray) -> np.ndarray:
    """``[out, in]``, as torch stores it, to ``[in, out]``."""
    return weight.T


def _window_first(weight: np.ndarray) -> np.ndarray:
    """Depthwise ``[I, 1, W]`` to ``[W, I]``."""
    return weight[:, 0].T


MAMBA: Table = {
    "in_proj.weight": ("input", _transposed),  # x, then z
    "conv1d.weight": ("kernel", _window_first),
    "conv1d.bias": ("kernel_bias", _same),
    "x_proj.weight": ("select", _transposed),  # low-rank Delta, B, C
    "dt_proj.weight": ("step_up", _transposed),
    "dt_proj.bias": ("step_bias", _same),
    "A_log": ("log_rate", _same),
    "D": ("skip", _same),
    "out_proj.weight": ("out", _transposed),
}
"""Names of a Mamba checkpoint's mixer weights to parameters of `SelectiveSSM`."""

MAMBA2: Table = {
    "in_proj.weight": ("input", _transposed),  # z, x, B, C, Delta
    "conv1d.weight": ("kernel", _window_first),
    "conv1d.bias": ("kernel_bias", _same),
    "dt_bias": ("step_bias", _same),
    "A_log": ("log_rate", _same),
    "D": ("skip", _same),
    "norm.weight": ("scale", _same),
    "out_proj.weight": ("out", _transposed),
}
"""Names of a Mamba-2 checkpoint's mixer weights to parameters of `SSD`."""


def mixer_parameters(
    weights: Mapping[str, np.ndarray], table: Table, state: int, groups: int | None
) -> dict[str, Any]:
    """Parameters of a router from the weights of one published mixer.

    Args:
      weights: Weights by their names in the mixer, for example the entries under
        ``backbone.layers.0.mixer.`` of a checkpoint with that prefix removed.
      table: `MAMBA` or `MAMBA2`.
      state: State size N.
      groups: Number of groups G of Mamba-2, None for Mamba.

    Returns:
      Variables ``{"params": ...}`` for `SelectiveSSM` or `SSD`, float32.

    Raises:
      ValueError: Names are missing or unknown.
    """
    missing, unknown = set(table) - set(weights), set(weights) - set(table)
    if missing or unknown:
        raise ValueError(
            f"mixer weights: missing are {sorted(missing)}, unknown are "
            f"{sorted(unknown)}"
        )
    params: dict[str, Array] = {
        ours: jnp.asarray(transform(np.asarray(weights[theirs])), jnp.float32)
        for theirs, (ours, transform) in table.items()
    }
    shape = (state,) if groups is None else (groups, state)
    params["frozen_step"] = params["step_bias"]
    params["frozen_write"] = jnp.full(shape, state**-0.5)
    params["frozen_read"] = jnp.full(shape, state**-0.5)
    return {"params": params}


def read_mamba(source: Source) -> Network:
    """The network of a Mamba. Its channels are reported in ``source.groups`` groups."""
    settings = source.settings
    width, inner = _inner_width(source)
    state, conv = settings.integer("state_size"), settings.integer("conv_kernel", 4)
    head_width(inner, source.groups, "groups", "the inner width")
    rank = -(-width // 16)
    if settings.values.get("time_step_rank") != "auto":
        rank = settings.integer("time_step_rank", rank)
    shapes = {
        "in_proj.weight": (2 * inner, width),
        "conv1d.weight": (inner, 1, conv),
        "conv1d.bias": (inner,),
        "x_proj.weight": (rank + 2 * state, inner),
        "dt_proj.weight": (inner, rank),
        "dt_proj.bias": (inner,),
        "A_log": (inner, state),
        "D": (inner,),
        "out_proj.weight": (width, inner),
    }
    config = SelectiveSSMConfig(
        expand=inner // width,
        state=state,
        conv=conv,
        step_rank=rank,
        groups=source.groups,
        dtype=source.dtype,
    )
    router = SelectiveSSM(width, config)
    parameters = functools.partial(
        mixer_parameters, table=MAMBA, state=state, groups=None
    )
    return _network(source, router, source.groups, shapes, parameters)


def read_mamba2(source: Source) -> Network:
    """The network of a Mamba-2, which has heads of its own."""
    settings = source.settings
    width, inner = _inner_width(source)
    state, conv = settings.integer("state_size"), settings.integer("conv_kernel", 4)
    heads = settings.integer("num_heads")
    groups = settings.divisor("n_groups", heads, "num_heads")
    if heads * settings.integer("head_dim") != inner:
        raise ValueError(
            f"{settings.where}: num_heads={heads} times head_dim must be {inner}, the "
            "inner width"
        )
    settings.choice("layer_norm_epsilon", (EPSILON,), EPSILON)
    settings.choice("rms_norm", (True,), True)
    convolved = inner + 2 * groups * state
    shapes = {
        "in_proj.weight": (inner + convolved + heads, width),
        "conv1d.weight": (convolved, 1, conv),
        "conv1d.bias": (convolved,),
        "dt_bias": (heads,),
        "A_log": (heads,),
        "D": (heads,),
        "norm.weight": (inner,),
        "out_proj.weight": (width, inner),
    }
    limit = settings.values.get("time_step_limit", [0.0, math.inf])
    if not (
        isinstance(limit, list)
        and len(limit) == 2
        and all(isinstance(end, int | float) for end in limit)
        and 0 <= limit[0] <= limit[1]
    ):
        raise ValueError(
            f"{settings.where}: time_step_limit={limit!r} must be two numbers, the "
            "least and the greatest step"
        )
    low, high = limit
    config = SSDConfig(
        expand=inner // width,
        state=state,
        conv=conv,
        heads=heads,
        groups=groups,
        step_limit=(float(low), float(high)),
        dtype=source.dtype,
    )
    parameters = functools.partial(
        mixer_parameters, table=MAMBA2, state=state, groups=groups
    )
    return _network(source, SSD(width, config), heads, shapes, parameters)


def _inner_width(source: Source) -> tuple[int, int]:
    settings = source.settings
    width = settings.integer("hidden_size")
    expand = settings.number("expand", 2)
    if expand != int(expand):
        raise ValueError(f"{settings.where}: expand={expand!r} must be a whole number")
    settings.choice("use_bias", (False,), False)
    settings.choice("use_conv_bias", (True,), True)
    settings.choice("hidden_act", ("silu",), "silu")
    inner = int(expand) * width
    settings.choice("intermediate_size", (inner,), inner)
    return width, inner


def _network(
    source: Source,
    router: Router,
    heads: int,
    shapes: Mapping[str, tuple[int, ...]],
    parameters: Callable[[Mapping[str, np.ndarray]], dict[str, Any]],
) -> Network:
    settings, width = source.settings, router.width
    vocabulary = settings.integer("vocab_size")
    epsilon = settings.number("layer_norm_epsilon", 1e-5)
    tied = settings.choice("tie_word_embeddings", (True, False), True)
    embedding = "backbone.embeddings.weight"

    def layer_weights(read: Read) -> Params:
        weights = {name: read(f"mixer.{name}", *shapes[name]) for name in shapes}
        return {
            "router": parameters(weights)["params"],
            "norm": read("norm.weight", width),
        }

    def head_weights(read: Read) -> Params:
        name = embedding if tied else "lm_head.weight"
        return {
            "norm": read("backbone.norm_f.weight", width),
            "unembedding": read(name, vocabulary, width).T,
        }

    def read(params: Params, stream: Array) -> Array:
        return rms_norm(stream, params["norm"], epsilon)

    return Network(
        family=settings.values["model_type"],
        sizes=Sizes(settings.integer("num_hidden_layers"), width, heads, vocabulary),
        layer=Layer(
            router, read, lambda params, stream, y: stream + y.astype(stream.dtype)
        ),
        embed=lambda params, tokens: take(params["table"], tokens),
        logits=lambda params, stream: dense(
            read(params, stream), params["unembedding"]
        ),
        tensors=source.tensors,
        embedding_weights=lambda read: {"table": read(embedding, vocabulary, width)},
        layer_weights=layer_weights,
        head_weights=head_weights,
        prefix="backbone.layers.{}.",
        ignored=r"lm_head\.weight" if tied else "",
    )
