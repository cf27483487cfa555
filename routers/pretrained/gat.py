"""PyTorch Geometric's ``GATConv`` and ``GATv2Conv`` as `GraphAttention`.

Both must have ``concat=True`` and the same nodes as sources and targets. Their matrices
are stored ``[out, in]``, where heads are the slow part of *out*; ours ``[in, out]``.
An edge ``(j, i)`` of their ``edge_index`` is our ``mask[i, j]``, with self-loops added.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from routers.pretrained.table import Origin, read_table

V1: Mapping[str, Origin] = {
    "kernel": Origin(("lin.weight",), lambda weight, heads: weight.T),
    # [1, H, K] each; ours the receiver's first
    "score": Origin(
        ("att_dst", "att_src"),
        lambda target, source, heads: np.concatenate([target, source]),
    ),
    "bias": Origin(("bias",), lambda bias, heads: bias),
}
V2: Mapping[str, Origin] = {
    # lin_l projects the source, which is also the value; lin_r the target
    "kernel": Origin(
        ("lin_l.weight", "lin_r.weight"),
        lambda source, target, heads: np.concatenate([source, target]).T,
    ),
    "kernel_bias": Origin(
        ("lin_l.bias", "lin_r.bias"),
        lambda source, target, heads: np.concatenate([source, target]),
    ),
    "score": Origin(("att",), lambda score, heads: score[0]),
    "bias": Origin(("bias",), lambda bias, heads: bias),
}
TABLES = {"v1": V1, "v2": V2}


def gat_variables(
    tensors: Mapping[str, np.ndarray], version: str, heads: int
) -> dict[str, Any]:
    """Variables of ``GraphAttention`` in one version, from the state of a layer."""
    return read_table(TABLES[version], tensors, heads)
