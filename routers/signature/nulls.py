"""Nulls as one mechanism: named variants of one measurement.

A variant states what differs from the real measurement and otherwise takes the same
path. It can differ in its knob values (`variants`, measured at every point because the
criterion needs them), or also in its parameters, features, inputs or graph
(`diagnostic_variants`, measured once at the end of a sweep). A third null of the
criterion, *untrained*, is the measurement at step 0.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp

from routers.base import Array, Router
from routers.signature.diagnostic import CHANGES, DEVIATIONS, undefined

REAL, UNIFORM = "", "uniform"
VARIANTS = (REAL, UNIFORM, "brake_only")
"""Names of the unchanged routing and of the nulls made by knobs."""

UNTRAINED = "untrained"
POST_HOC = "post_hoc"
TRAINED_HERE, TRAINED_NEUTRAL, AT_START = range(3)
"""Parameters that a variant reads: those of its own member, those of the same seed
trained at the swept knob's neutral value, or those of its own member at step 0."""


class Variant(NamedTuple):
    """The changes that make one variant; the defaults are the real measurement.

    Attributes:
      name: Name of the null, ``""`` for the real measurement.
      content: Factor of the content knobs.
      brake: Factor of the brake knobs.
      params: `TRAINED_HERE`, `TRAINED_NEUTRAL` or `AT_START`.
      change: Name in `CHANGES` of a change of features, or ``""``.
      deviation: Standard deviation of i.i.d. logits that replace the routing, or 0.
      shuffled: Whether features are moved to other nodes.
      rewired: Whether the graph is rewired.
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
      router: Router whose routing is measured.
      kind: Kind of its geometry.
      post_hoc: Reason why there are no parameters trained at the neutral value, or
        None.

    Returns:
      Variants, the real one first, and one line for each null that does not exist.
    """
    found = [
        Variant(REAL),
        Variant(UNIFORM, content=0.0, brake=0.0),
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
      knobs: Knobs of one member by slot (``token.brake``). Every slot is set alike.

    Returns:
      Knobs of the same names; *uniform* has content 0 and brake 0, *brake_only* has
      content 0.
    """
    return scaled_knobs(knobs, (1.0, 0.0, 0.0), (1.0, 0.0, 1.0))


def scaled_knobs(
    knobs: Mapping[str, Array], content: tuple[float, ...], brake: tuple[float, ...]
) -> dict[str, Array]:
    """Knobs with content and brake multiplied by factors, stacked on a leading axis."""
    factors = {"content": content, "brake": brake}
    plain = (1.0,) * len(content)
    return {
        name: jnp.stack(
            [value * scale for scale in factors.get(name.split(".")[-1], plain)]
        )
        for name, value in knobs.items()
    }
