"""A published model that was opened: its layers are read one at a time."""

import dataclasses
import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from routers.base import Array, Geometry, Knobs, Router, Routing, neutral_knobs
from routers.pretrained.attention_residuals import read_attention_residuals
from routers.pretrained.bert import read_bert
from routers.pretrained.gpt2 import read_gpt2
from routers.pretrained.gpt_neox import read_gpt_neox
from routers.pretrained.llama import read_llama
from routers.pretrained.mamba import read_mamba, read_mamba2
from routers.pretrained.network import Network, Params, Sizes
from routers.pretrained.rwkv import read_rwkv
from routers.pretrained.source import Source, open_source
from routers.pretrained.tokenizer import Tokenizer

Reader = Callable[[Source], Network]

FAMILIES: dict[str, Reader] = {
    "bert": read_bert,
    "gpt2": read_gpt2,
    "gpt_neox": read_gpt_neox,
    "llama": read_llama,
    "mamba": read_mamba,
    "mamba2": read_mamba2,
    "qwen2": read_llama,
    "qwen3": read_llama,
    "qwen3_attnres": read_attention_residuals,
    "rwkv": read_rwkv,
}
"""Readers by the ``model_type`` of a published model's settings."""


class Pass(struct.PyTreeNode):
    """Everything from one pass of tokens through a model, for small inputs.

    Attributes:
      logits: ``[B, T, V]``, or None where a model has none.
      streams: Stream before the first layer and after each, ``[L + 1, B, T, D]``.
      routing: One `Routing` with a leading axis of layers.
    """

    logits: Array | None
    streams: Any
    routing: Routing


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A published model; see the docstring of `routers.pretrained`.

    Attributes:
      network: What it computes.
      source: What its weights are read from.
    """

    network: Network
    source: Source

    @property
    def family(self) -> str:
        """Name of the family."""
        return self.network.family

    @property
    def sizes(self) -> Sizes:
        """Numbers of layers, heads, tokens and so on."""
        return self.network.sizes

    @property
    def router(self) -> Router:
        """The router of every layer, unbound, with its config."""
        return self.network.layer.router

    @property
    def predicts(self) -> bool:
        """Whether there are logits, and of the next token."""
        return self.network.logits is not None and self.network.predicts

    def geometry(self, length: int) -> Geometry:
        """Geometry of a number of positions."""
        return self.network.geometry(length)

    def tokenizer(self) -> Tokenizer:
        """Opens the model's own tokenizer."""
        return (self.network.tokenizer or self.source.tokenizer)()

    def read_embedding(self) -> Params:
        """Params of `embed`, loaded now."""
        return self._loaded(self.network.embedding_weights(self.network.tensors.read))

    def read_layer(self, index: int) -> Params:
        """Params of `block` for one layer, loaded now; the same tree for all layers.

        The router's own are under ``"router"``.
        """
        if not 0 <= index < self.sizes.layers:
            raise ValueError(
                f"layer {index}: must be at least 0 and below {self.sizes.layers}"
            )
        network = self.network
        read = network.tensors.under(network.prefix.format(index))
        return self._loaded(network.layer_weights(read))

    def read_head(self) -> Params:
        """Params of `logits`, loaded now."""
        return self._loaded(self.network.head_weights(self.network.tensors.read))

    def embed(self, params: Params, tokens: Array) -> Any:
        """The stream ``[B, T, D]`` before the first layer, float32; pure.

        Ids out of range would be clipped silently: see `require_tokens`.
        """
        return self.network.embed(params, tokens)

    def read(self, params: Params, stream: Any) -> Array:
        """What a layer's router is given, ``x [B, T, D]``; pure."""
        return self.network.layer.read(params, stream)

    def write(self, params: Params, stream: Any, y: Array) -> Any:
        """The stream after a layer whose router returned ``y [B, T, D]``; pure."""
        return self.network.layer.write(params, stream, y)

    def block(
        self, params: Params, stream: Any, geometry: Geometry, knobs: Knobs
    ) -> tuple[Any, Array, Routing]:
        """One layer: the new stream, the router's output and its routing; pure."""
        x = self.read(params, stream)
        routed: Any = self.router.apply(
            {"params": params["router"]}, x, geometry, knobs
        )
        y, routing = routed
        return self.write(params, stream, y), y, routing

    def hidden(self, stream: Any) -> Array:
        """The state ``[B, T, D]`` in a stream: itself, except where depth is routed."""
        return self.network.hidden(stream)

    def logits(self, params: Params, stream: Any) -> Array:
        """Logits ``[B, T, V]`` of the last stream, float32; pure.

        Raises:
          ValueError: The model is an encoder without logits.
        """
        if self.network.logits is None:
            raise ValueError(f"{self.source.path}: {self.family} has no logits")
        return self.network.logits(params, stream)

    def require_tokens(self, tokens: np.ndarray) -> None:
        """Raises ValueError if ids ``[..., T]`` are out of range or too many."""
        tokens, sizes = np.asarray(tokens), self.sizes
        wrong = tokens[(tokens < 0) | (tokens >= sizes.vocabulary)]
        if wrong.size:
            raise ValueError(
                f"{self.source.path}: token id {wrong[0]} must be at least 0 and below "
                f"{sizes.vocabulary}"
            )
        if sizes.positions is not None and tokens.shape[-1] > sizes.positions:
            raise ValueError(
                f"{self.source.path}: {tokens.shape[-1]} positions, must be at most "
                f"{sizes.positions}"
            )

    def run(self, tokens: np.ndarray, knobs: Knobs | None = None) -> Pass:
        """One pass of tokens ``[B, T]`` that keeps everything, for small inputs.

        Raises:
          ValueError: As `require_tokens`.
        """
        self.require_tokens(tokens)
        knobs = neutral_knobs(self.router) if knobs is None else knobs
        geometry, block = self.geometry(tokens.shape[-1]), jax.jit(self.block)
        stream = jax.jit(self.embed)(self.read_embedding(), tokens)
        streams, routings = [stream], []
        for index in range(self.sizes.layers):
            stream, _, routing = block(self.read_layer(index), stream, geometry, knobs)
            streams.append(stream)
            routings.append(routing)
        known = self.network.logits is not None
        return Pass(
            logits=jax.jit(self.logits)(self.read_head(), stream) if known else None,
            streams=jax.tree.map(lambda *layers: jnp.stack(layers), *streams),
            routing=jax.tree.map(lambda *layers: jnp.stack(layers), *routings),
        )

    def _loaded(self, weights: Params) -> Params:
        """On the device: matrices in the model's dtype, vectors in float32."""
        dtype = self.source.dtype
        return jax.tree.map(
            lambda a: jnp.asarray(a, dtype if a.ndim > 1 else jnp.float32), weights
        )


def open_model(
    path: str | Path,
    dtype: str = "float32",
    groups: int = 1,
    reader: str | Reader | None = None,
) -> Model:
    """Opens a published model. Names, shapes and types of all tensors are checked.

    Args:
      path: A Hugging Face folder (``config.json`` and safetensors), a GGUF file of the
        Llama family, or whatever a reader of one's own takes.
      dtype: ``"float32"`` or ``"bfloat16"``: of matrices and their products. Stream,
        norms and routing are always float32.
      groups: Number of groups of channels that Mamba and RWKV-4 report as heads.
      reader: Reader of one's own, a function or ``module:function``; None picks it by
        the settings' ``model_type``.

    Raises:
      ValueError: A file is damaged or pickled, a setting contradicts the tensors, or an
        architecture, a type or a setting is not supported: one line each.
      OSError: A file is missing.
      ImportError: A package of the extra ``pretrained`` is missing.
    """
    source = open_source(Path(path), dtype, groups)
    if reader is None:
        family = source.settings.choice("model_type", sorted(FAMILIES))
        reader = FAMILIES[family]
    elif isinstance(reader, str):
        reader = import_reader(reader)
    network = reader(source)
    check_weights(network)
    return Model(network, source)


def check_weights(network: Network) -> None:
    """Raises ValueError unless a network and all of its tensors fit together."""
    rehearsal = network.tensors.rehearsal()
    network.embedding_weights(rehearsal.read)
    if network.logits is not None:
        network.head_weights(rehearsal.read)
    network.layer_weights(rehearsal.under(network.prefix.format(0)))
    rehearsal.repeat(network.prefix, network.sizes.layers)
    rehearsal.refuse_unused(network.ignored)


def import_reader(name: str) -> Reader:
    """A reader from ``module:function``; ValueError if there is none."""
    if not re.fullmatch(r"[\w.]+:\w+", name):
        raise ValueError(f"reader={name!r}: must be of the form module:function")
    module, _, function = name.partition(":")
    try:
        found: Any = getattr(importlib.import_module(module), function)
    except (Exception, SystemExit) as error:  # the module may raise anything
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        raise ValueError(f"reader={name!r}: cannot be imported ({reason})") from None
    if not callable(found):
        raise ValueError(f"reader={name!r}: must be a function")
    return found
