"""The backbone around a mixer in plain PyTorch, as a peer of `onset bench`."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.backbone import IGNORED, BackboneConfig

EPSILON = 1e-6
"""Epsilon of the layer norm in Flax; the default of PyTorch is 1e-5."""

Mixer = Callable[[], nn.Module]
"""Makes the mixer of one layer: ``mixer(x [B, T, D], brake)`` is ``[B, T, D]``."""


class TorchBackbone(nn.Module):
    """The same network as `train.backbone.Backbone`, with one mixer per layer."""

    def __init__(self, config: BackboneConfig, mixer: Mixer, features: int) -> None:
        """Makes parameters of the same shapes; `load` gives them values.

        Args:
          config: Settings of the backbone.
          mixer: Function that makes the mixer of a layer.
          features: Number of input features F; 0 if inputs are tokens.
        """
        super().__init__()
        width, layers = config.width, config.layers
        self.learned = config.positions == "learned"
        self.embed = (
            nn.Linear(features, width, bias=False)
            if features
            else nn.Embedding(config.outputs, width)
        )
        if self.learned:
            self.positions = nn.Parameter(torch.zeros(config.length, width))
        self.token_norm = _norms(width, layers)
        self.token = nn.ModuleList(mixer() for _ in range(layers))
        hidden = config.mlp_ratio * width
        self.mlp_norm = _norms(width, layers * bool(hidden))
        self.mlp = nn.ModuleList(
            nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))
            for _ in range(layers * bool(hidden))
        )
        self.final_norm = nn.LayerNorm(width, EPSILON)
        self.unembed = nn.Linear(width, config.outputs, bias=False)

    def forward(self, inputs: Tensor, targets: Tensor, brake: float | Tensor) -> Tensor:
        """Mean cross-entropy of tokens ``[B, T]`` or features ``[B, T, F]``."""
        x = self.embed(inputs)
        if self.learned:
            x = x + self.positions[: inputs.shape[1]]
        for layer, mixer in enumerate(self.token):
            x = x + mixer(self.token_norm[layer](x), brake)
            if len(self.mlp):
                x = x + self.mlp[layer](self.mlp_norm[layer](x))
        logits = self.unembed(self.final_norm(x))
        return F.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED
        )

    def load(self, params: Mapping[str, Any]) -> None:
        """Copies the parameters of a `Backbone` with the router of this mixer."""
        tokens = "embedding" in params
        weights = {
            "embed.weight": params["embedding"] if tokens else params["encoder"].T,
            "unembed.weight": params["unembed"]["kernel"].T,
            **_norm("final_norm", params["final_norm"]),
        }
        if self.learned:
            weights["positions"] = params["positions"]
        mixer: Any
        for layer, mixer in enumerate(self.token):
            own = mixer.published(params[f"token_{layer}"])
            weights |= {f"token.{layer}.{name}": own[name] for name in own}
            weights |= _norm(f"token_norm.{layer}", params[f"token_norm_{layer}"])
            if len(self.mlp):
                weights |= _norm(f"mlp_norm.{layer}", params[f"mlp_norm_{layer}"])
                for index, name in ((0, "up"), (2, "down")):
                    dense = params[f"mlp_{layer}"][name]
                    weights[f"mlp.{layer}.{index}.weight"] = dense["kernel"].T
                    weights[f"mlp.{layer}.{index}.bias"] = dense["bias"]
        copied = {name: torch.tensor(np.asarray(w)) for name, w in weights.items()}
        self.load_state_dict(copied)


def _norms(width: int, layers: int) -> nn.ModuleList:
    return nn.ModuleList(nn.LayerNorm(width, EPSILON) for _ in range(layers))


def _norm(name: str, params: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{name}.weight": params["scale"], f"{name}.bias": params["bias"]}


class TorchAttention(nn.Module):
    """`routers.Attention` with uniform slopes and its other knobs neutral."""

    distance: Tensor
    future: Tensor

    def __init__(self, width: int, heads: int, length: int) -> None:
        """Makes the two matrices and the distances of ``length`` positions."""
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        position = torch.arange(length)
        elapsed = position[:, None] - position[None, :]
        distance, future = elapsed.clamp(min=0).float(), elapsed < 0
        self.register_buffer("distance", distance, persistent=False)
        self.register_buffer("future", future, persistent=False)

    def published(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters of `routers.Attention` under the names of this module."""
        return {f"{name}.weight": params[name].T for name in ("qkv", "out")}

    def forward(self, x: Tensor, brake: float | Tensor) -> Tensor:
        """Mixes ``x [B, T, D]``."""
        batch, length, width = x.shape
        shape = (batch, length, self.heads, width // self.heads)
        query, key, value = (
            part.reshape(shape).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1)
        )
        score = query @ key.transpose(-1, -2) / math.sqrt(shape[-1])
        score = (score - brake * self.distance).masked_fill(self.future, -math.inf)
        mixed = (score.softmax(-1) @ value).transpose(1, 2)
        return self.out(mixed.reshape(batch, length, width))
