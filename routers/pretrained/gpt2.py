"""GPT-2's attention layer as `Attention` (uniform slopes, brake 0).

Its matrices are stored ``[in, out]`` like ours, with queries, keys and values side by
side and heads as the slow part of each. `Attention` has no biases, so GPT-2's must be
zero. Its positions are learned and belong to the model, not to the layer.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from routers.pretrained.table import Origin, read_table

TABLE: Mapping[str, Origin] = {
    "qkv": Origin(("c_attn.weight",), lambda weight, heads: weight),
    "out": Origin(("c_proj.weight",), lambda weight, heads: weight),
}
ZERO = ("c_attn.bias", "c_proj.bias")
"""Names of tensors that must be zero."""


def gpt2_variables(tensors: Mapping[str, np.ndarray], heads: int) -> dict[str, Any]:
    """Variables of ``Attention`` from the state of one GPT-2 attention layer."""
    return read_table(TABLE, tensors, heads, ZERO)
