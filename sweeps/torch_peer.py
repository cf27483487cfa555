"""The peer of `onset bench`: the backbone with attention, in plain eager PyTorch."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.backbone import BackboneConfig


class TorchBackbone(nn.Module):
    """The same network as `train.backbone.Backbone` around `routers.Attention`."""

    def __init__(self, config: BackboneConfig, heads: int) -> None:
        """Makes parameters of the same shapes and scales."""
        super().__init__()
        width, self.heads, self.layers = config.width, heads, config.layers
        self.embedding = nn.Embedding(config.outputs, width)
        self.positions = nn.Parameter(torch.randn(config.length, width) * 0.1)
        self.token_norm = nn.ModuleList(nn.LayerNorm(width) for _ in range(self.layers))
        self.qkv = nn.ModuleList(
            nn.Linear(width, 3 * width, bias=False) for _ in range(self.layers)
        )
        self.out = nn.ModuleList(
            nn.Linear(width, width, bias=False) for _ in range(self.layers)
        )
        hidden = config.mlp_ratio * width
        self.mlp = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width),
                nn.Linear(width, hidden),
                nn.ReLU(),
                nn.Linear(hidden, width),
            )
            for _ in range(self.layers * bool(hidden))
        )
        self.final_norm = nn.LayerNorm(width)
        self.unembed = nn.Linear(width, config.outputs, bias=False)
        position = torch.arange(config.length)
        elapsed = position[:, None] - position[None, :]
        self.register_buffer("distance", elapsed.clamp(min=0).float())
        self.register_buffer("future", elapsed < 0)

    def loss(self, tokens: Tensor, targets: Tensor, brake: float) -> Tensor:
        """Mean next-token cross-entropy of tokens ``[B, T]``."""
        x = self.embedding(tokens) + self.positions[: tokens.shape[1]]
        for layer in range(self.layers):
            x = x + self._attend(layer, self.token_norm[layer](x), brake)
            if len(self.mlp):
                x = x + self.mlp[layer](x)
        logits = self.unembed(self.final_norm(x))
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    def _attend(self, layer: int, x: Tensor, brake: float) -> Tensor:
        batch, length, width = x.shape
        shape = (batch, length, self.heads, width // self.heads)
        query, key, value = (
            part.reshape(shape).transpose(1, 2)
            for part in self.qkv[layer](x).chunk(3, dim=-1)
        )
        score = query @ key.transpose(-1, -2) / math.sqrt(shape[-1])
        score = (score - brake * self.distance).masked_fill(self.future, -math.inf)
        mixed = (
            (score.softmax(-1) @ value).transpose(1, 2).reshape(batch, length, width)
        )
        return self.out[layer](mixed)
