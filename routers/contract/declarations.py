"""Checks of what a router's class declares; nothing is run."""

import difflib
import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import flax.linen as nn

from routers.base import ROLES, Knob, Router
from routers.contract.differences import first
from routers.geometry import KINDS

SLOTS = {"token": {"causal", "graph"}, "depth": {"depth", "streams"}}
"""Kinds of geometry that occur in every slot of the backbone."""


def declares_knobs(router: Router) -> str | None:
    """``brake`` and ``content`` exist; neutral values lie in their ranges."""
    knobs = getattr(router, "knobs", None)
    if not isinstance(knobs, Mapping) or not knobs:
        return f"knobs: must map names to routers.base.Knob, not {knobs!r}"
    missing = {"brake", "content"} - set(knobs)
    if missing:
        return f"knobs: {', '.join(sorted(missing))} missing among {sorted(knobs)}"
    return first(_judge_knob(name, knob) for name, knob in knobs.items())


def _judge_knob(name: str, knob: Any) -> str | None:
    if not isinstance(knob, Knob):
        return f"knobs: {name} must be a routers.base.Knob, not {knob!r}"
    numbers = knob.neutral, knob.low, knob.high
    if not all(isinstance(n, int | float) and not math.isnan(n) for n in numbers):
        return f"{name}: neutral, low and high must be numbers, not {numbers}"
    if not (math.isfinite(knob.neutral) and math.isfinite(knob.low)):
        return f"{name}: neutral {knob.neutral} and low {knob.low} must be finite"
    if not knob.low <= knob.neutral <= knob.high:
        return (
            f"{name}: neutral value {knob.neutral} must lie between low {knob.low} and "
            f"high {knob.high}"
        )
    if not knob.low < knob.high:
        return f"{name}: low {knob.low} must be below high {knob.high}"
    if name in ("brake", "content") and not knob.low <= 0:
        return f"{name}: low {knob.low} must be 0, which the nulls use"
    if not isinstance(knob.meaning, str) or not knob.meaning.strip():
        return f"{name}: meaning must be one line of text, not {knob.meaning!r}"
    if "\n" in knob.meaning:
        return f"{name}: meaning must be one line, not {knob.meaning!r}"
    return None


def declares_what_exists(router: Router) -> str | None:
    """Kinds, slot, reach, roles and settings are known ones; no name is misspelt."""
    return first(_judge_names(router))


def _judge_names(router: Router) -> Iterator[str | None]:
    kinds = getattr(router, "kinds", None)
    if isinstance(kinds, str) or not isinstance(kinds, Collection) or not kinds:
        yield f"kinds: must be a frozenset of geometry kinds, not {kinds!r}"
        return
    yield _unknown("kinds", kinds, KINDS)
    yield _unknown("slot", [router.slot], SLOTS)
    if router.slot in SLOTS:
        yield _unknown(
            f"kinds of the slot {router.slot!r}", kinds, sorted(SLOTS[router.slot])
        )
    roles: Any = router.roles
    if isinstance(roles, Mapping):
        yield _unknown("roles", roles, ROLES)
    else:
        yield f"roles: must map names to paths, not {roles!r}"
    reach = router.reach
    if not isinstance(reach, int | float) or not 0 <= reach < math.inf:
        yield f"reach: must be a finite number of at least 0, not {reach!r}"
    config = router.config
    params = getattr(config, "__dataclass_params__", None)
    if params is None or isinstance(config, type):
        yield f"config: must be a dataclass with a default, not {config!r}"
    elif not params.frozen:
        yield f"config: {type(config).__name__} must be a frozen dataclass"
    yield from _misspelt(type(router))


def _unknown(what: str, names: Collection[Any], known: Collection[str]) -> str | None:
    for name in sorted(map(str, names)):
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            return f"{what}: {name!r} must be one of {', '.join(known)}{hint}"
    return None


def _misspelt(kind: type[Router]) -> Iterator[str]:
    """Attributes that resemble one of the interface's names, which nothing reads."""
    read = {n for n in vars(Router) if not n.startswith("_")} - set(vars(nn.Module))
    read |= {"knobs", "kinds"}
    for base in kind.__mro__[: kind.__mro__.index(Router)]:
        for name in vars(base):
            if name.startswith("_") or hasattr(Router, name) or name in read:
                continue
            close = difflib.get_close_matches(name.lower(), read, 1, cutoff=0.85)
            if close:
                yield (
                    f"{base.__name__}.{name}: nothing reads this attribute; "
                    f"did you mean {close[0]!r}?"
                )
