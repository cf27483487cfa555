"""GPT-2's attention layer as `Attention` (uniform slopes, brake 0).

Its matrices are stored ``[in, out]`` as ours, queries, keys and values side by side,
each with heads as the slow part. `Attention` has no biases, so theirs must be zero.
Positions are learned and belong to the model, not to the layer.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from routers.pretrained.table import Source, read_table

TABLE: Mapping[str, Source] = {
    "qkv": Source(("c_attn.weight",), lambda weight, heads: weight),
    "out": Source(("c_proj.weight",), lambda weight, heads: weight),
}
ZERO = ("c_attn.bias", "c_proj.bias")


def gpt2_variables(tensors: Mapping[str, np.ndarray], heads: int) -> dict[str, Any]:
    """Variables of ``Attention`` from one GPT-2 attention layer's state."""
    return read_table(TABLE, tensors, heads, ZERO)
