"""RWKV-4 weights under their names in Transformers' ``RwkvSelfAttention``.

`TABLE` lists all names. A torch ``Linear`` holds ``[out, in]``, whereas `RWKV4`
multiplies from the right and stacks the matrices that it fuses. ``time_decay`` is the
raw exponent ``w`` on both sides; its sign and exponential are applied where it is used.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

TABLE: Mapping[str, tuple[str, ...]] = {
    "kvr": ("key.weight", "value.weight", "receptance.weight"),  # transposed, stacked
    "out": ("output.weight",),  # transposed
    "time_decay": ("time_decay",),  # [D] -> [H, K]
    "time_first": ("time_first",),  # [D] -> [H, K]
    "time_mix": (  # [1, 1, D] each, stacked
        "time_mix_key",
        "time_mix_value",
        "time_mix_receptance",
    ),
}
"""Our parameters, each with the published ones that it consists of, in order."""

STACKED = ("kvr", "time_mix")
"""Our parameters that stack several published ones."""


def router_params(
    weights: Mapping[str, np.ndarray], heads: int = 1
) -> dict[str, jax.Array]:
    """Parameters of `RWKV4` from one published attention block.

    Args:
      weights: Weights by published name, without the prefix of the block.
      heads: Number of groups of channels H; any divisor of the width gives the same
        output.

    Returns:
      The tree under ``"params"``, float32.

    Raises:
      KeyError: A name of `TABLE` is missing.
    """

    def convert(name: str, parts: tuple[str, ...]) -> jax.Array:
        arrays = [
            weights[part].T if part.endswith(".weight") else weights[part]
            for part in parts
        ]
        joined = np.stack(arrays) if name in STACKED else arrays[0]
        if joined.ndim == 1:
            joined = joined.reshape(heads, -1)
        return jnp.asarray(joined, jnp.float32)

    return {name: convert(name, parts) for name, parts in TABLE.items()}
