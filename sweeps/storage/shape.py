"""Whether JSON that was read has the structure that its readers rely on."""

import contextlib
from collections.abc import Iterator
from typing import Any

from sweeps.errors import BadInput
from sweeps.storage.files import SUMMARY

SCHEMA = 4
"""Number of the structure of ``onset.json``, raised when a key changes its meaning."""
SEED = "seed"
"""What the members of one value of a sweep differ in."""
NUMBER = (int, float)
OPTIONAL = (int, float, type(None))
QUARTILES = {"median": OPTIONAL, "low": OPTIONAL, "high": OPTIONAL}
ONSET = {
    "estimate": OPTIONAL,
    "low": OPTIONAL,
    "high": OPTIONAL,
    "censored": (str, type(None)),
    "direction": (str, type(None)),
    "crossings": list,
    "undecided": list,
    "units": int,
}
MANIFEST_SHAPE = {"fingerprint": str, "config": dict, "complete": bool}
SUMMARY_SHAPE = {
    "unit": str,
    "router": str,
    "knob": str,
    "steps": int,
    "criterion": {"metric": str, "threshold": NUMBER, "quantile": NUMBER},
    "onset": ONSET,
    "refinement": (dict, type(None)),
    "parts": dict,
    "sensitivity": list,
    "settling": (dict, type(None)),
    "post_hoc": (dict, type(None)),
    "layers": int,
    "curve": [
        {
            "value": NUMBER,
            "members": int,
            "collapsed": int,
            "diverged": int,
            "fraction": {"low": NUMBER, "high": NUMBER},
            "concentration": QUARTILES,
            "nulls": dict,
            "loss": QUARTILES,
            "parts": {"concentration": {"onset_step": {"median": OPTIONAL}}},
        }
    ],
}


def check_shape(content: Any, shape: Any, place: str = "") -> None:
    """Compares JSON with the structure that it must have at least.

    Args:
      content: What was read.
      shape: A type, a tuple of types, a dict of shapes by key, or a list with the
        shape of every entry, of which there must be at least one.
      place: Where in the file ``content`` is, for the message.

    Raises:
      ValueError: something is missing or of another type.
    """
    if isinstance(shape, dict):
        check_shape(content, dict, place)
        for key, inner in shape.items():
            name = f"{place}.{key}" if place else key
            if key not in content:
                raise ValueError(f"{name} is missing")
            check_shape(content[key], inner, name)
    elif isinstance(shape, list):
        check_shape(content, list, place)
        if not content:
            raise ValueError(f"{place} is empty")
        for index, entry in enumerate(content):
            check_shape(entry, shape[0], f"{place}[{index}]")
    elif not isinstance(content, shape) or (
        isinstance(content, bool) and shape is not bool
    ):
        raise ValueError(f"{place or 'the content'} is of the wrong type")


@contextlib.contextmanager
def showing(where: str) -> Iterator[None]:
    """Refuses what cannot be shown, as after an edit or a change of version.

    Args:
      where: Name of the record or records, for the message.

    Raises:
      BadInput: their content is not what the block relies on.
    """
    try:
        yield
    except BadInput:
        raise
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise BadInput(
            f"{where}: {SUMMARY} is damaged or was written by another version "
            f"({type(error).__name__}: {str(error)[:80]})"
        ) from None
