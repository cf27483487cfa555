"""Reading the tensors of a published layer by a table of names and layouts."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np


class Origin(NamedTuple):
    """The published tensors that one of our parameters is made from.

    Attributes:
      names: Names of the published tensors, in the order in which ``layout`` takes
        them.
      layout: Function that turns them, and the number of heads, into our array.
    """

    names: tuple[str, ...]
    layout: Callable[..., np.ndarray]


def read_table(
    table: Mapping[str, Origin],
    tensors: Mapping[str, np.ndarray],
    heads: int,
    zero: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Parameters of a router from a published layer.

    Args:
      table: An `Origin` for every parameter of the router.
      tensors: State of the published layer, by name.
      heads: Number of heads H.
      zero: Names of published tensors that the router has no parameter for. They must
        be zero if they exist.

    Returns:
      Variables for ``router.apply``.

    Raises:
      ValueError: A tensor is missing, or one without a parameter is not zero.
    """
    for name in zero:
        if name in tensors and np.any(tensors[name]):
            raise ValueError(f"{name}: must be zero, this router has no such parameter")
    needed = [name for origin in table.values() for name in origin.names]
    missing = [name for name in needed if name not in tensors]
    if missing:
        raise ValueError(f"tensors missing: {', '.join(missing)}")
    return {
        "params": {
            parameter: jnp.asarray(
                origin.layout(*(np.asarray(tensors[n]) for n in origin.names), heads),
                jnp.float32,
            )
            for parameter, origin in table.items()
        }
    }
