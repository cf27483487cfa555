"""GPT-NeoX's attention layer as `Attention` (``rotary``, uniform slopes, brake 0).

Only ``rotary_pct = 1`` with base 10000 is possible. Its matrices are stored
``[out, in]``, and *out* of the fused projection runs over heads first, then over query,
key and value within a head. `Attention` has no biases, so GPT-NeoX's must be zero or
absent.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from routers.pretrained.table import Origin, read_table


def parts_before_heads(weight: np.ndarray, heads: int) -> np.ndarray:
    """Reorders ``[H 3 K, D]`` to ``[D, 3 H K]``."""
    width = weight.shape[1]
    by_head = weight.reshape(heads, 3, width // heads, width)
    return by_head.swapaxes(0, 1).reshape(3 * width, width).T


TABLE: Mapping[str, Origin] = {
    "qkv": Origin(("query_key_value.weight",), parts_before_heads),
    "out": Origin(("dense.weight",), lambda weight, heads: weight.T),
}
ZERO = ("query_key_value.bias", "dense.bias")
"""Names of tensors that must be zero."""


def gpt_neox_variables(tensors: Mapping[str, np.ndarray], heads: int) -> dict[str, Any]:
    """Variables of ``Attention`` from the state of one GPT-NeoX attention layer."""
    return read_table(TABLE, tensors, heads, ZERO)
