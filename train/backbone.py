"""The network in which a router is trained: pre-LN sublayers around two slots.

    x  = embed(inputs) + positions
    x += router(LN(x));  x += MLP(LN(x))         in every layer
    outputs = unembed(LN(x))

The ``token`` slot holds the routers that mix positions, one for each layer. The
``depth`` slot holds the routers that replace the residual sum (`train.residual`), one
for each sublayer; if it is empty, the residual is summed as usual. Knobs are named by
slot, as in ``token.brake``. What the network returns and the caller does not use is
compiled away, so training never pays for routing matrices or for the stream.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from routers.base import Array, Geometry, Knobs, Router
from train.residual import Residual, ResidualSum, RoutedDepth, RoutedStreams, Trace

POSITIONS = ("learned", "none")
IGNORED = -1
"""Value of a target that does not enter the loss."""


@dataclasses.dataclass(frozen=True)
class BackboneConfig:
    """Static sizes and initialisation of a `Backbone`.

    Attributes:
      outputs: V, number of symbols or classes to predict.
      length: T, the largest number of positions of an input.
      width: D, model width.
      layers: L, number of layers.
      mlp_ratio: Hidden width of the MLP divided by D; 0 leaves the MLP out.
      positions: Position embeddings, ``"learned"`` (added to the token embeddings) or
        ``"none"``.
      embedding_scale: Initial standard deviation of token and position embeddings.
      mlp_scale: Initial standard deviation of the first MLP matrix; the second one has
        half of it.
      output_scale: Initial standard deviation of the unembedding.
      dtype: Dtype of the matrix products; norms and logits are float32.
      block: Number of sublayers whose sum is one source of a depth router.
      distance: Distance between the sources of a depth router, see
        `routers.depth_attention.depth_geometry`.
      streams: n, number of streams of a router that mixes streams.
    """

    outputs: int
    length: int
    width: int = 64
    layers: int = 1
    mlp_ratio: int = 4
    positions: str = "learned"
    embedding_scale: float = 0.02
    mlp_scale: float = 0.02
    output_scale: float = 0.02
    dtype: Any = jnp.float32
    block: int = 1
    distance: str = "steps"
    streams: int = 4

    def __post_init__(self) -> None:
        if self.positions not in POSITIONS:
            raise ValueError(
                f"model.positions={self.positions!r}: must be one of "
                f"{', '.join(POSITIONS)}"
            )


def slot_knobs(knobs: Knobs, slot: str) -> dict[str, Array]:
    """The knobs of one slot, without the slot's prefix in their names."""
    prefix = f"{slot}."
    return {
        name.removeprefix(prefix): value
        for name, value in knobs.items()
        if name.startswith(prefix)
    }


class MLP(nn.Module):
    """``W_2 relu(W_1 x + b_1) + b_2`` on flattened positions ``[N, D]``.

    Attributes:
      hidden: Number of hidden units.
      scale: Initial standard deviation of ``W_1``; ``W_2`` has half of it.
      dtype: Dtype of the matrix products.
    """

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
    """A network around any router of the token slot and, optionally, the depth slot.

    Attributes:
      config: Sizes and initialisation.
      token: Makes the router of one layer, given ``width`` and ``name``.
      depth: Makes the router of one sublayer, likewise; None for the residual sum.
    """

    config: BackboneConfig
    token: Callable[..., Router]
    depth: Callable[..., Router] | None = None

    @nn.compact
    def __call__(
        self, inputs: Array, geometry: Geometry, knobs: Knobs
    ) -> tuple[Array, dict[str, tuple[Geometry, list[Trace]]], Array]:
        """Predicts a symbol or class at every position.

        Args:
          inputs: Tokens int32 ``[B, T]`` or features float ``[B, T, F]``.
          geometry: Positions of one sequence or graph.
          knobs: Value of every knob, named by slot, for example ``token.brake``.

        Returns:
          Logits ``[B, T, V]`` in float32; for each slot the geometry of its traces with
          one `Trace` for each use of a router; and the residual stream
          ``[L + 1, B, T, D]``, where entry ``l`` is the stream after ``l`` layers, as
          the next layer or, at the end, the unembedding reads it (`train.residual`).
          Entry 0 is the embedding.
        """
        config = self.config
        batch, length = inputs.shape[:2]
        residual = self._residual(self._embed(inputs), slot_knobs(knobs, "depth"))
        traces, stream = [], []
        for layer in range(config.layers):
            router = self.token(width=config.width, name=f"token_{layer}")
            x = residual.read()
            stream.append(residual.stream())
            routed, routing = router(
                nn.LayerNorm(name=f"token_norm_{layer}")(x),
                geometry,
                slot_knobs(knobs, "token"),
            )
            traces.append(Trace(routing, routed))
            residual.write(routed)
            if config.mlp_ratio:
                x = nn.LayerNorm(name=f"mlp_norm_{layer}")(residual.read())
                mlp = MLP(
                    config.mlp_ratio * config.width,
                    config.mlp_scale,
                    config.dtype,
                    name=f"mlp_{layer}",
                )
                residual.write(mlp(x.reshape(-1, config.width)).reshape(x.shape))
        x = residual.read()
        stream.append(residual.stream())
        x = nn.LayerNorm(name="final_norm")(x)
        unembed = nn.Dense(
            config.outputs,
            use_bias=False,
            kernel_init=nn.initializers.normal(config.output_scale),
            dtype=config.dtype,
            name="unembed",
        )
        logits = unembed(x.reshape(-1, config.width)).astype(jnp.float32)
        slots = {"token": (geometry, traces)}
        if not isinstance(residual, ResidualSum):
            slots["depth"] = (residual.geometry(), residual.traces())
        logits = logits.reshape(batch, length, config.outputs)
        return logits, slots, jnp.stack(stream)

    def _embed(self, inputs: Array) -> Array:
        """Embeds tokens or projects features, and adds any learned positions."""
        config = self.config
        normal = nn.initializers.normal(config.embedding_scale)
        if jnp.issubdtype(inputs.dtype, jnp.integer):
            shape = (config.outputs, config.width)
            x = self.param("embedding", normal, shape)[inputs]  # [B, T, D]
        else:
            shape = (inputs.shape[-1], config.width)
            x = inputs @ self.param("encoder", normal, shape)
        if config.positions == "learned":
            positions = self.param("positions", normal, (config.length, config.width))
            x = x + positions[None, : inputs.shape[1]]
        return x

    def _residual(self, x: Array, knobs: Knobs) -> Residual:
        """The form of the residual that the router of the depth slot requires."""
        config = self.config
        if self.depth is None:
            return ResidualSum(x)
        kinds = self.depth(width=config.width, parent=None).kinds
        if "streams" in kinds:
            return RoutedStreams(x, self.depth, knobs, config.streams, self)
        return RoutedDepth(x, self.depth, knobs, config.block, config.distance)


def cross_entropy(logits: Array, targets: Array) -> Array:
    """Mean cross-entropy, in nats, over the targets that are not `IGNORED`.

    Args:
      logits: ``[B, T, V]``.
      targets: int32 ``[B, T]``.
    """
    total, learned = total_cross_entropy(logits, targets)
    return total / jnp.maximum(learned, 1)


def total_cross_entropy(logits: Array, targets: Array) -> tuple[Array, Array]:
    """Sum of the cross-entropy over the same targets, and the number of them."""
    learned = targets != IGNORED
    return jnp.sum(surprise(logits, targets) * learned), jnp.sum(learned)


def surprise(logits: Array, targets: Array) -> Array:
    """Cross-entropy of every target, in nats, ``[B, T]``; meaningless if `IGNORED`."""
    # Compares, because indexing would need a scatter in the backward pass.
    own = targets[..., None] == jnp.arange(logits.shape[-1])
    picked = jnp.sum(jnp.where(own, logits, 0.0), axis=-1)
    return jax.nn.logsumexp(logits, axis=-1) - picked
