"""PyTorch Geometric's ``GATConv`` and ``GATv2Conv`` as `GraphAttention`.

Both with ``concat=True`` and shared source and target nodes. Their matrices are
stored ``[out, in]`` with heads as the slow part of *out*, ours ``[in, out]``.
Their edge ``(j, i)`` of ``edge_index`` is our ``mask[i, j]``, self-loops added.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from routers.pretrained.table import Source, read_table

V1: Mapping[str, Source] = {
    "kernel": Source(("lin.weight",), lambda weight, heads: weight.T),
    # [1, H, K] each; ours the receiver's first
    "score": Source(
        ("att_dst", "att_src"),
        lambda target, source, heads: np.concatenate([target, source]),
    ),
    "bias": Source(("bias",), lambda bias, heads: bias),
}
V2: Mapping[str, Source] = {
    # lin_l projects the source, which is also the value; lin_r the target
    "kernel": Source(
        ("lin_l.weight", "lin_r.weight"),
        lambda source, target, heads: np.concatenate([source, target]).T,
    ),
    "kernel_bias": Source(
        ("lin_l.bias", "lin_r.bias"),
        lambda source, target, heads: np.concatenate([source, target]),
    ),
    "score": Source(("att",), lambda score, heads: score[0]),
    "bias": Source(("bias",), lambda bias, heads: bias),
}
TABLES = {"v1": V1, "v2": V2}


def gat_variables(
    tensors: Mapping[str, np.ndarray], version: str, heads: int
) -> dict[str, Any]:
    """Variables of ``GraphAttention`` of a version, from a layer's state."""
    return read_table(TABLES[version], tensors, heads)
