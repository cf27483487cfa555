"""The network a router is trained in: a pre-LN residual stream with a token slot.

    x  = embed(tokens) + positions
    x += router(LN(x));  x += MLP(LN(x))         for every layer
    logits = unembed(LN(x))

The router stands in the ``token`` slot of every layer; its knobs arrive named by
slot (``token.brake``). Whatever is returned and not used is compiled away, so
training never pays for routing matrices.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from routers.base import Array, Geometry, Knobs, Router, Routing

POSITIONS = ("learned", "none")


@dataclasses.dataclass(frozen=True)
class BackboneConfig:
    """Static sizes and initialisation of `Backbone`.

    Attributes:
      vocabulary: V, symbols including ``<s>``.
      length: T, the most positions a sequence has.
      width: D.
      layers: L.
      mlp_ratio: hidden width of the MLP over D; 0 leaves the MLP out.
      positions: ``"learned"`` (added to the embedding) or ``"none"``.
      embedding_scale: standard deviation of token and position embeddings.
      mlp_scale: of the first MLP matrix; the second has half of it.
      output_scale: of the unembedding.
      dtype: of the matrix products; norms and logits are float32.
    """

    vocabulary: int
    length: int
    width: int = 64
    layers: int = 1
    mlp_ratio: int = 4
    positions: str = "learned"
    embedding_scale: float = 0.02
    mlp_scale: float = 0.02
    output_scale: float = 0.02
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        if self.positions not in POSITIONS:
            raise ValueError(
                f"model.positions={self.positions!r}: one of {', '.join(POSITIONS)}"
            )


class LayerTrace(struct.PyTreeNode):
    """What one layer's router did: its routing and its output ``[B, T, D]``."""

    routing: Routing
    output: Array


def slot_knobs(knobs: Knobs, slot: str) -> dict[str, Array]:
    """The knobs of one slot, without its prefix."""
    prefix = f"{slot}."
    return {
        name.removeprefix(prefix): value
        for name, value in knobs.items()
        if name.startswith(prefix)
    }


class MLP(nn.Module):
    """``W_2 relu(W_1 x + b_1) + b_2`` on flattened positions ``[N, D]``."""

    hidden: int
    scale: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps ``[N, D]`` to ``[N, D]``."""
        up = nn.Dense(
            self.hidden,
            kernel_init=nn.initializers.normal(self.scale),
            dtype=self.dtype,
            name="up",
        )
        down = nn.Dense(
            x.shape[-1],
            kernel_init=nn.initializers.normal(self.scale / 2),
            dtype=self.dtype,
            name="down",
        )
        return down(nn.relu(up(x)))


class Backbone(nn.Module):
    """Token model around any router of the token slot.

    Attributes:
      config: sizes and initialisation.
      token: makes the router of one layer from ``width`` and ``name``.
    """

    config: BackboneConfig
    token: Callable[..., Router]

    @nn.compact
    def __call__(
        self, tokens: Array, geometry: Geometry, knobs: Knobs
    ) -> tuple[Array, list[LayerTrace]]:
        """Predicts the next token at every position.

        Args:
          tokens: int32 ``[B, T]``.
          geometry: positions of one sequence.
          knobs: by slot, for example ``token.brake``.

        Returns:
          Logits ``[B, T, V]`` in float32, and one `LayerTrace` a layer.
        """
        config = self.config
        batch, length = tokens.shape
        width = config.width
        normal = nn.initializers.normal(config.embedding_scale)
        embedding = self.param("embedding", normal, (config.vocabulary, width))
        x = embedding[tokens]  # [B, T, D]
        if config.positions == "learned":
            positions = self.param("positions", normal, (config.length, width))
            x = x + positions[None, :length]
        traces = []
        for layer in range(config.layers):
            router = self.token(width=width, name=f"token_{layer}")
            routed, routing = router(
                nn.LayerNorm(name=f"token_norm_{layer}")(x),
                geometry,
                slot_knobs(knobs, "token"),
            )
            traces.append(LayerTrace(routing, routed))
            x = x + routed.astype(x.dtype)
            if config.mlp_ratio:
                flat = nn.LayerNorm(name=f"mlp_norm_{layer}")(x).reshape(-1, width)
                mlp = MLP(
                    config.mlp_ratio * width,
                    config.mlp_scale,
                    config.dtype,
                    name=f"mlp_{layer}",
                )
                x = x + mlp(flat).reshape(x.shape).astype(x.dtype)
        flat = nn.LayerNorm(name="final_norm")(x).reshape(-1, width)
        unembed = nn.Dense(
            config.vocabulary,
            use_bias=False,
            kernel_init=nn.initializers.normal(config.output_scale),
            dtype=config.dtype,
            name="unembed",
        )
        logits = unembed(flat).astype(jnp.float32)
        return logits.reshape(batch, length, config.vocabulary), traces


def next_token_loss(logits: Array, targets: Array) -> Array:
    """Mean cross-entropy in nats of ``logits [B, T, V]`` for ``targets [B, T]``."""
    log_probability = jax.nn.log_softmax(logits, axis=-1)
    picked = jnp.take_along_axis(log_probability, targets[..., None], axis=-1)
    return -jnp.mean(picked)
