"""Graph attention of PyTorch Geometric on a list of edges, a peer of `onset bench`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GATv2Conv

from routers.base import Geometry
from routers.edges import list_edges
from routers.graph_attention import GraphAttentionConfig


class GeometricMixer(nn.Module):
    """``GATConv`` or ``GATv2Conv`` as a mixer of `torch_backbone.TorchBackbone`."""

    edges: Tensor

    def __init__(self, width: int, config: GraphAttentionConfig, edges: Tensor) -> None:
        """Makes the layer.

        Args:
          width: Model width D.
          config: Settings of the router.
          edges: Edges of the graph, see `edge_index`; shared, not copied.
        """
        super().__init__()
        layer = GATConv if config.version == "v1" else GATv2Conv
        self.layer = layer(
            width,
            width // config.heads,
            config.heads,
            negative_slope=config.negative_slope,
            add_self_loops=False,  # the mask has them; saves adding them each pass
        )
        self.register_buffer("edges", edges, persistent=False)

    def published(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters of the router under the names of this module."""
        own = _weights_v1 if isinstance(self.layer, GATConv) else _weights_v2
        return {f"layer.{name}": weight for name, weight in own(params).items()}

    def forward(self, x: Tensor, _: float) -> Tensor:
        """Mixes ``x [1, N, D]``, one graph, at the published brake, its only one."""
        return self.layer(x.squeeze(0), self.edges)[None]


def edge_index(geometry: Geometry) -> Tensor:
    """The ``edge_index [2, E]`` of one graph, with all edges that its mask allows.

    At brake 0, the router treats edges of all distances alike. Edges are ordered by
    target; an `EdgeIndex`, which can use this order, was not faster.
    """
    edges = list_edges(geometry.mask)
    return torch.from_numpy(np.stack([edges.source, edges.target]).astype(np.int64))


def _weights_v1(params: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `routers.pretrained.gat.V1`."""
    target, source = params["score"]
    return {
        "lin.weight": params["kernel"].T,
        "att_dst": target[None],
        "att_src": source[None],
        "bias": params["bias"],
    }


def _weights_v2(params: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `routers.pretrained.gat.V2`."""
    source, target = np.split(params["kernel"].T, 2)
    source_bias, target_bias = np.split(params["kernel_bias"], 2)
    return {
        "lin_l.weight": source,
        "lin_r.weight": target,
        "lin_l.bias": source_bias,
        "lin_r.bias": target_bias,
        "att": params["score"][None],
        "bias": params["bias"],
    }
