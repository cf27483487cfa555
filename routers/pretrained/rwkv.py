"""RWKV-4 weights under their names in Transformers' ``RwkvSelfAttention``.

`TABLE` is the one place where names and layouts meet: a torch ``Linear`` holds
``[out, in]``, `RWKV4` multiplies from the right and stacks what it fuses.
``time_decay`` is the raw exponent ``w`` on both sides; the sign and the exponential
are taken where it is used.
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
"""Our parameter -> the published ones it is made of, in order."""

STACKED = ("kvr", "time_mix")


def router_params(
    weights: Mapping[str, np.ndarray], heads: int = 1
) -> dict[str, jax.Array]:
    """Parameters of `RWKV4` from one published attention block.

    Args:
      weights: by published name, without the prefix of the block.
      heads: H, groups of channels; any divisor of the width gives the same output.

    Returns:
      The tree under ``"params"``, float32.

    Raises:
      KeyError: a name of `TABLE` is missing.
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
