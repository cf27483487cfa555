"""Published Mamba and Mamba-2 mixers as parameters of our state-space routers.

There is one table per family, with the checkpoint's name, our name and the function
that converts the array. Nothing else is read. A name outside of the table (such as a
bias of the projections, which the published models do not have) is an error, so that it
cannot cause a silent difference. Frozen constants do not exist in a checkpoint: that of
Delta is taken from its bias, those of B and C from our initialisation. They have no
effect at ``selectivity = 1``.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from routers.base import Array

Table = Mapping[str, tuple[str, Callable[[np.ndarray], np.ndarray]]]


def _same(weight: np.ndarray) -> np.ndarray:
    return weight


def _transposed(weight: np.ndarray) -> np.ndarray:
    """``[out, in]``, as torch stores it, to ``[in, out]``."""
    return weight.T


def _window_first(weight: np.ndarray) -> np.ndarray:
    """Depthwise ``[I, 1, W]`` to ``[W, I]``."""
    return weight[:, 0].T


MAMBA: Table = {
    "in_proj.weight": ("input", _transposed),  # x, then z
    "conv1d.weight": ("kernel", _window_first),
    "conv1d.bias": ("kernel_bias", _same),
    "x_proj.weight": ("select", _transposed),  # low-rank Delta, B, C
    "dt_proj.weight": ("step_up", _transposed),
    "dt_proj.bias": ("step_bias", _same),
    "A_log": ("log_rate", _same),
    "D": ("skip", _same),
    "out_proj.weight": ("out", _transposed),
}
"""Names of a Mamba checkpoint's mixer weights to parameters of `SelectiveSSM`."""

MAMBA2: Table = {
    "in_proj.weight": ("input", _transposed),  # z, x, B, C, Delta
    "conv1d.weight": ("kernel", _window_first),
    "conv1d.bias": ("kernel_bias", _same),
    "dt_bias": ("step_bias", _same),
    "A_log": ("log_rate", _same),
    "D": ("skip", _same),
    "norm.weight": ("scale", _same),
    "out_proj.weight": ("out", _transposed),
}
"""Names of a Mamba-2 checkpoint's mixer weights to parameters of `SSD`."""


def mixer_parameters(
    weights: Mapping[str, np.ndarray], table: Table, state: int, groups: int | None
) -> dict[str, Any]:
    """Parameters of a router from the weights of one published mixer.

    Args:
      weights: Weights by their names in the mixer, for example the entries under
        ``backbone.layers.0.mixer.`` of a checkpoint with that prefix removed.
      table: `MAMBA` or `MAMBA2`.
      state: State size N.
      groups: Number of groups G of Mamba-2, None for Mamba.

    Returns:
      Variables ``{"params": ...}`` for `SelectiveSSM` or `SSD`, float32.

    Raises:
      ValueError: Names are missing or unknown.
    """
    missing, unknown = set(table) - set(weights), set(weights) - set(table)
    if missing or unknown:
        raise ValueError(
            f"mixer weights: missing are {sorted(missing)}, unknown are "
            f"{sorted(unknown)}"
        )
    params: dict[str, Array] = {
        ours: jnp.asarray(transform(np.asarray(weights[theirs])), jnp.float32)
        for theirs, (ours, transform) in table.items()
    }
    shape = (state,) if groups is None else (groups, state)
    params["frozen_step"] = params["step_bias"]
    params["frozen_write"] = jnp.full(shape, state**-0.5)
    params["frozen_read"] = jnp.full(shape, state**-0.5)
    return {"params": params}
