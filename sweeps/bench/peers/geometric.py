"""Graph attention of PyTorch Geometric on a list of edges: a peer of `onset bench`."""

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
          width: D.
          config: of the router.
          edges: of the graph, see `edge_index`; shared, not copied.
        """
        super().__init__()
        layer = GATConv if config.version == "v1" else GATv2Conv
        self.layer = layer(
            width,
            width // config.heads,
            config.heads,
            negative_slope=config.negative_slope,
            add_self_loops=False,  # the mask has them; else added in every pass
        )
        self.register_buffer("edges", edges, persistent=False)

    def published(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters of the router under this module's names."""
        own = _weights_v1 if isinstance(self.layer, GATConv) else _weights_v2
        return {f"layer.{name}": weight for name, weight in own(params).items()}

    def forward(self, x: Tensor, _: float) -> Tensor:
        """Mixes ``x [1, N, D]``, one graph, at the published brake, the only one."""
        return self.layer(x.squeeze(0), self.edges)[None]


def edge_index(geometry: Geometry) -> Tensor:
    """The ``edge_index [2, E]`` of one graph: every source that its mask allows.

    At brake 0 the router reads them alike at any distance. They are ordered by target;
    an `EdgeIndex`, which knows that, was no faster.
    """
    edges = list_edges(geometry.mask)
    return torch.from_numpy(np.stack([edges.source, edges.target]).astype(np.int64))


def _weights_v1(params: Mapping[str, Any]) -> dict[str, Any]:
    """`routers.pretrained.gat.V1` the other way round."""
    target, source = params["score"]
    return {
        "lin.weight": params["kernel"].T,
        "att_dst": target[None],
        "att_src": source[None],
        "bias": params["bias"],
    }


def _weights_v2(params: Mapping[str, Any]) -> dict[str, Any]:
    """`routers.pretrained.gat.V2` the other way round."""
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
