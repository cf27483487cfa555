"""Comparisons that end in one line: what was expected, what was found, and where."""

import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

ABSOLUTE, RELATIVE = 1e-6, 1e-5
LONG = 10.0
"""Factor of the tolerances on long sequences, whose sums round more often."""

Y = ("batch", "query", "channel")
WEIGHTS = ("batch", "head", "query", "source")
ROWS = WEIGHTS[:3]
SOURCES = ("batch", "head", "source")

MOST_LETTERS = 300
"""Length to which the message of an exception is cut."""
LIBRARIES = {"jax", "jaxlib", "flax", "numpy", "contextlib", "functools", "threading"}
"""Packages whose lines say nothing about where a router is wrong."""


class Unchecked(str):
    """A line that says what could not be checked, and why; it is not a failure."""

    __slots__ = ()


def difference(
    name: str,
    found: Any,
    wanted: Any,
    axes: tuple[str, ...] = (),
    tolerance: float = 1.0,
) -> str | None:
    """One line if two arrays differ by more than the tolerance, else None.

    Args:
      name: What is compared, and at which knob.
      found: Values of the router.
      wanted: Values that they should have, broadcastable to these.
      axes: Names of the axes, to say where the largest difference is.
      tolerance: Factor of the tolerances. The relative one refers to the largest
        entry of a row, since entries are often sums whose terms cancel.
    """
    found = np.asarray(found).astype(float)
    wanted = np.asarray(wanted).astype(float)
    if found.size == 0:
        return None
    wanted = np.broadcast_to(wanted, found.shape)
    scale = np.max(np.abs(wanted), axis=-1, keepdims=True) if wanted.ndim else wanted
    with np.errstate(invalid="ignore"):  # inf - inf
        gap = np.where(found == wanted, 0.0, np.abs(found - wanted))
    excess = np.nan_to_num(gap - tolerance * (ABSOLUTE + RELATIVE * scale), nan=np.inf)
    if excess.max() <= 0:
        return None
    return f"{name}: {_at_worst(excess, found, wanted, axes)}"


def _at_worst(excess: Any, found: Any, wanted: Any, axes: tuple[str, ...]) -> str:
    worst = np.unravel_index(np.argmax(excess), excess.shape)
    return (
        f"found {found[worst]:.6g} instead of {wanted[worst]:.6g} "
        f"at {position(worst, axes)}"
    )


def position(index: Iterable[Any], axes: tuple[str, ...]) -> str:
    """An index in words: ``batch 0, head 1, query 5``."""
    index = [int(i) for i in index]
    if len(index) != len(axes):
        return f"index {index}"
    return ", ".join(f"{axis} {i}" for axis, i in zip(axes, index, strict=True))


def first(messages: Iterable[str | None]) -> str | None:
    """The first message that is not None or empty."""
    return next((message for message in messages if message), None)


def one_line(error: BaseException) -> str:
    """An exception as one line, with its type and the line of the router's code."""
    text = " ".join(str(error).split())
    if len(text) > MOST_LETTERS:
        text = text[:MOST_LETTERS].rpartition(" ")[0] + " ..."
    name = type(error).__name__
    return f"{name}: {text}{_place(error)}" if text else f"{name}{_place(error)}"


def _place(error: BaseException) -> str:
    """The innermost line that belongs to no library and not to the contract."""
    found = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__", ""))
        foreign = module.partition(".")[0] not in LIBRARIES
        if foreign and not module.startswith(("routers.contract", "routers.base")):
            file = Path(frame.f_code.co_filename).name
            found = f" ({file}:{line}, in {frame.f_code.co_name})"
    return found
