"""Reading a published layer's tensors by a table of names and layouts."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np


class Source(NamedTuple):
    """Where a parameter of ours comes from.

    Attributes:
      names: of the published tensors, in the order in which ``layout`` takes them.
      layout: turns them, and the number of heads, into our array.
    """

    names: tuple[str, ...]
    layout: Callable[..., np.ndarray]


def read_table(
    table: Mapping[str, Source],
    tensors: Mapping[str, np.ndarray],
    heads: int,
    zero: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Parameters of a router from a published layer.

    Args:
      table: a `Source` for every parameter of the router.
      tensors: the published layer's state, by name.
      heads: H.
      zero: published tensors the router has no place for; zero where present.

    Returns:
      Variables for ``router.apply``.

    Raises:
      ValueError: a tensor is missing, or one without a place is not zero.
    """
    for name in zero:
        if name in tensors and np.any(tensors[name]):
            raise ValueError(f"{name}: not zero, and this router has no place for it")
    needed = [name for source in table.values() for name in source.names]
    missing = [name for name in needed if name not in tensors]
    if missing:
        raise ValueError(f"tensors missing: {', '.join(missing)}")
    return {
        "params": {
            parameter: jnp.asarray(
                source.layout(*(np.asarray(tensors[n]) for n in source.names), heads),
                jnp.float32,
            )
            for parameter, source in table.items()
        }
    }
