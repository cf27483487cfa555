"""Nulls as one mechanism: named variants of one measurement.

A variant says what differs from the real thing and takes the very same path: knob
values (`variants`, measured at every point because the criterion needs them), other
parameters, changed features, other inputs or another graph (`diagnostic_variants`,
once, where a sweep ends). A third criterion null, *untrained*, is the measurement at
step 0.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp

from routers.base import Array, Router
from routers.signature.diagnostic import CHANGES, DEVIATIONS, undefined

REAL = ""
VARIANTS = (REAL, "uniform", "brake_only")
"""Routing as it is, and the nulls made by knobs."""

UNTRAINED = "untrained"
POST_HOC = "post_hoc"
TRAINED_HERE, TRAINED_NEUTRAL, AT_START = range(3)
"""Whose parameters a variant reads: its own member's, those of the same seed trained
at the swept knob's neutral value, or its own at step 0."""


class Variant(NamedTuple):
    """What one variant changes; the defaults are the real thing.

    Attributes:
      name: of the null, ``""`` for the real thing.
      content: factor of the content knobs.
      brake: factor of the brake knobs.
      params: `TRAINED_HERE`, `TRAINED_NEUTRAL` or `AT_START`.
      change: of features, a name of `CHANGES`, or ``""``.
      deviation: of i.i.d. logits that replace the routing, or 0.
      shuffled: features go to other nodes.
      rewired: the graph is rewired.
    """

    name: str
    content: float = 1.0
    brake: float = 1.0
    params: int = TRAINED_HERE
    change: str = ""
    deviation: float = 0.0
    shuffled: bool = False
    rewired: bool = False


def diagnostic_variants(
    router: type[Router], kind: str, post_hoc: str | None
) -> tuple[tuple[Variant, ...], dict[str, str]]:
    """Every variant that exists for a router, and why the others do not.

    Args:
      router: whose routing is measured.
      kind: of its geometry.
      post_hoc: why there are no parameters trained at the neutral value, or None.

    Returns:
      Variants, the real one first, and null name to one line.
    """
    found = [
        Variant(REAL),
        Variant("uniform", content=0.0, brake=0.0),
        Variant("brake_only", content=0.0),
        Variant(UNTRAINED, params=AT_START),
    ]
    absent: dict[str, str] = {}
    if post_hoc is None:
        found.append(Variant(POST_HOC, params=TRAINED_NEUTRAL))
    else:
        absent[POST_HOC] = post_hoc
    for name in CHANGES:
        reason = undefined(router, name)
        if reason is None:
            found.append(Variant(name, change=name))
        else:
            absent[name] = reason
    if kind in ("depth", "streams"):
        absent["iid_logits"] = f"rows of {kind} routing are means over tokens"
    else:
        found += [Variant(f"iid_logits_{d:g}", deviation=d) for d in DEVIATIONS]
    if kind == "graph":
        found.append(Variant("shuffled_features", shuffled=True))
        found.append(Variant("rewired", rewired=True))
    else:
        absent["shuffled_features"] = absent["rewired"] = f"{kind} is not a graph"
    return tuple(found), absent


def variants(knobs: Mapping[str, Array]) -> dict[str, Array]:
    """Knob values of `VARIANTS`, each stacked on a new leading axis.

    Args:
      knobs: one member's, by slot (``token.brake``); every slot is set alike.

    Returns:
      The same names; *uniform* has content 0 and brake 0, *brake_only* content 0.
    """
    return scaled_knobs(knobs, (1.0, 0.0, 0.0), (1.0, 0.0, 1.0))


def scaled_knobs(
    knobs: Mapping[str, Array], content: tuple[float, ...], brake: tuple[float, ...]
) -> dict[str, Array]:
    """Knobs with content and brake times factors, stacked on a leading axis."""
    factors = {"content": content, "brake": brake}
    plain = (1.0,) * len(content)
    return {
        name: jnp.stack(
            [value * scale for scale in factors.get(name.split(".")[-1], plain)]
        )
        for name, value in knobs.items()
    }
