"""Nulls that only change a router's knobs: the very same code at other values.

A third criterion null, *untrained*, is the same measurement at step 0.
"""

from collections.abc import Mapping

import jax.numpy as jnp

from routers.base import Array

REAL = ""
VARIANTS = (REAL, "uniform", "brake_only")
"""Routing as it is, and the nulls made by knobs."""


def variants(knobs: Mapping[str, Array]) -> dict[str, Array]:
    """Knob values of `VARIANTS`, each stacked on a new leading axis.

    Args:
      knobs: one member's, by slot (``token.brake``); every slot is set alike.

    Returns:
      The same names; *uniform* has content 0 and brake 0, *brake_only* content 0.
    """
    factor = {"content": (1.0, 0.0, 0.0), "brake": (1.0, 0.0, 1.0)}
    plain = (1.0, 1.0, 1.0)
    return {
        name: jnp.stack(
            [value * scale for scale in factor.get(name.split(".")[-1], plain)]
        )
        for name, value in knobs.items()
    }
