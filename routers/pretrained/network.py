"""The network around the routers: norms, dense layers, and one block for all layers.

A block is split where its router is::

    x = layer.read(params, stream)                   # norm
    y, routing = layer.router(x, geometry, knobs)
    stream = layer.write(params, stream, y)          # residual, MLP

so that a measurement can take the router apart in between. The stream and the norms are
float32; matrix products have the type of their weights.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from routers.base import Array, Geometry, Router, causal_geometry
from routers.pretrained.tensors import Read, Tensors
from routers.pretrained.tokenizer import Tokenizer

Params = Mapping[str, Any]
"""Nested dict of arrays."""

ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "gelu_new": jax.nn.gelu,
    "gelu_fast": jax.nn.gelu,
    "gelu_pytorch_tanh": jax.nn.gelu,
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
}
"""Activations of an MLP by their published names."""


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes of a model.

    Attributes:
      layers: L.
      width: D.
      heads: H, number of heads or groups of channels that a routing has.
      vocabulary: V, number of different tokens.
      positions: Largest number of positions, or None if nothing limits it.
    """

    layers: int
    width: int
    heads: int
    vocabulary: int
    positions: int | None = None


@dataclasses.dataclass(frozen=True)
class Layer:
    """What all layers of a model share; their weights are arguments.

    Attributes:
      router: The router; its weights are ``params["router"]``.
      read: Function ``(params, stream [B, T, D]) -> x [B, T, D]``, what it routes.
      write: Function ``(params, stream, y [B, T, D]) -> stream``, all that follows it.
    """

    router: Router
    read: Callable[[Params, Any], Array]
    write: Callable[[Params, Any, Array], Any]


@dataclasses.dataclass(frozen=True)
class Network:
    """A model without its weights, and where these are: what a reader returns.

    Attributes:
      family: Name of the family.
      sizes: Its sizes.
      layer: What all layers share.
      embed: Function ``(params, tokens int32 [B, T]) -> stream float32 [B, T, D]``.
      logits: Function ``(params, stream) -> logits float32 [B, T, V]``, or None for an
        encoder without them.
      tensors: The tensors, by the names that the following functions ask for.
      embedding_weights: Function of ``tensors.read`` to the params of ``embed``.
      layer_weights: Likewise those of one layer; names are without the layer's prefix.
      head_weights: Likewise those of ``logits``.
      prefix: Prefix of the names of one layer, with ``{}`` for its index.
      geometry: Function from a number of positions to their geometry.
      ignored: Regular expression of the names of tensors that no output depends on.
      tokenizer: Function that opens the tokenizer; None for that of the source.
      hidden: Function from a stream to its state ``[B, T, D]``, where a stream is more.
      predicts: Whether the logits are those of the next token, which a loss needs.
    """

    family: str
    sizes: Sizes
    layer: Layer
    embed: Callable[[Params, Array], Any]
    logits: Callable[[Params, Any], Array] | None
    tensors: Tensors
    embedding_weights: Callable[[Read], Params]
    layer_weights: Callable[[Read], Params]
    head_weights: Callable[[Read], Params]
    prefix: str
    geometry: Callable[[int], Geometry] = causal_geometry
    ignored: str = ""
    tokenizer: Callable[[], Tokenizer] | None = None
    hidden: Callable[[Any], Array] = lambda stream: stream
    predicts: bool = True


def dense(x: Array, kernel: Array, bias: Array | None = None) -> Array:
    """``x [B, T, D]`` times ``[D, E]`` plus ``[E]``, in the kernel's type, as float32.

    Positions are flattened for one large product.
    """
    flat = x.reshape(-1, x.shape[-1]).astype(kernel.dtype)
    y = (flat @ kernel).astype(jnp.float32)
    if bias is not None:
        y = y + bias.astype(jnp.float32)[None]
    return y.reshape(*x.shape[:-1], -1)


def layer_norm(x: Array, params: Params, epsilon: float) -> Array:
    """Layer norm over the last axis of ``[B, T, D]`` with ``gain`` and ``bias``."""
    x = x.astype(jnp.float32)
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.mean(centred**2, axis=-1, keepdims=True)
    gain, bias = (params[name].astype(jnp.float32) for name in ("gain", "bias"))
    normed = centred * jax.lax.rsqrt(variance + epsilon)
    return normed * gain[None, None] + bias[None, None]


def mlp(x: Array, params: Params, activation: str) -> Array:
    """``W_2 act(W_1 x + b_1) + b_2`` of ``[B, T, D]``."""
    hidden = ACTIVATIONS[activation](dense(x, params["up"], params["up_bias"]))
    return dense(hidden, params["down"], params["down_bias"])


def take(table: Array, index: Array) -> Array:
    """Rows of a table ``[V, D]``, float32 ``[..., D]``."""
    return table[index].astype(jnp.float32)
