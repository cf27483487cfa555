"""The network a router is trained in: pre-LN sublayers around two slots.

    x  = embed(inputs) + positions
    x += router(LN(x));  x += MLP(LN(x))         for every layer
    outputs = unembed(LN(x))

The ``token`` slot holds what mixes positions, one router a layer. The ``depth`` slot
holds what replaces the residual sum (`train.residual`), one router a sublayer; empty
means the sum. Knobs arrive named by slot (``token.brake``). Whatever is returned and
not used is compiled away, so training never pays for routing matrices.
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
"""A target that is not learned from."""


@dataclasses.dataclass(frozen=True)
class BackboneConfig:
    """Static sizes and initialisation of `Backbone`.

    Attributes:
      outputs: V, symbols or classes to tell apart.
      length: T, the most positions an input has.
      width: D.
      layers: L.
      mlp_ratio: hidden width of the MLP over D; 0 leaves the MLP out.
      positions: ``"learned"`` (added to the embedding) or ``"none"``.
      embedding_scale: standard deviation of token and position embeddings.
      mlp_scale: of the first MLP matrix; the second has half of it.
      output_scale: of the unembedding.
      dtype: of the matrix products; norms and logits are float32.
      block: sublayers whose sum is one source of a depth router.
      distance: between sources of a depth router, see `depth_geometry`.
      streams: n, of a router that mixes streams.
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
                f"model.positions={self.positions!r}: one of {', '.join(POSITIONS)}"
            )


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
    """Model around any router of the token slot and, if there is one, the depth slot.

    Attributes:
      config: sizes and initialisation.
      token: makes the router of one layer from ``width`` and ``name``.
      depth: likewise the router of one sublayer; None is the residual sum.
    """

    config: BackboneConfig
    token: Callable[..., Router]
    depth: Callable[..., Router] | None = None

    @nn.compact
    def __call__(
        self, inputs: Array, geometry: Geometry, knobs: Knobs
    ) -> tuple[Array, dict[str, tuple[Geometry, list[Trace]]]]:
        """Predicts a symbol or class at every position.

        Args:
          inputs: tokens int32 ``[B, T]`` or features float ``[B, T, F]``.
          geometry: positions of one sequence or graph.
          knobs: by slot, for example ``token.brake``.

        Returns:
          Logits ``[B, T, V]`` in float32, and by slot the geometry its traces are
          on with one `Trace` for each use of a router.
        """
        config = self.config
        batch, length = inputs.shape[:2]
        residual = self._residual(self._embed(inputs), slot_knobs(knobs, "depth"))
        traces = []
        for layer in range(config.layers):
            router = self.token(width=config.width, name=f"token_{layer}")
            routed, routing = router(
                nn.LayerNorm(name=f"token_norm_{layer}")(residual.read()),
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
        x = nn.LayerNorm(name="final_norm")(residual.read())
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
        return logits.reshape(batch, length, config.outputs), slots

    def _embed(self, inputs: Array) -> Array:
        """Looks tokens up, or projects features; adds learned positions."""
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
        """The form of the residual that the depth slot's router calls for."""
        config = self.config
        if self.depth is None:
            return ResidualSum(x)
        kinds = self.depth(width=config.width, parent=None).kinds
        if "streams" in kinds:
            return RoutedStreams(x, self.depth, knobs, config.streams, self)
        return RoutedDepth(x, self.depth, knobs, config.block, config.distance)


def cross_entropy(logits: Array, targets: Array) -> Array:
    """Mean cross-entropy in nats over the targets that are not `IGNORED`.

    Args:
      logits: ``[B, T, V]``.
      targets: int32 ``[B, T]``.
    """
    total, learned = total_cross_entropy(logits, targets)
    return total / jnp.maximum(learned, 1)


def total_cross_entropy(logits: Array, targets: Array) -> tuple[Array, Array]:
    """Sum of `cross_entropy` over targets, and the number of those learned from."""
    learned = targets != IGNORED
    # A comparison, where picking by index would scatter in the backward pass.
    own = targets[..., None] == jnp.arange(logits.shape[-1])
    picked = jnp.sum(jnp.where(own, logits, 0.0), axis=-1)
    surprise = jax.nn.logsumexp(logits, axis=-1) - picked
    return jnp.sum(surprise * learned), jnp.sum(learned)
