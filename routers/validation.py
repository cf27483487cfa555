"""Checks of a router's static settings: every message names setting and value."""

from collections.abc import Sequence
from typing import Any


def require_at_least(least: int, **settings: int) -> None:
    """Raises ValueError, naming the first setting that is less than ``least``."""
    for name, value in settings.items():
        if value < least:
            raise ValueError(f"{name}={value}: must be at least {least}")


def require_positive(**settings: float) -> None:
    """Raises ValueError, naming the first setting that is not positive."""
    for name, value in settings.items():
        if value <= 0:
            raise ValueError(f"{name}={value}: must be positive")


def require_choice(choices: Sequence[str], **settings: Any) -> None:
    """Raises ValueError, naming the first setting that is none of the choices."""
    for name, value in settings.items():
        if value not in choices:
            raise ValueError(f"{name}={value!r}: must be one of {', '.join(choices)}")


def head_width(
    width: int, heads: int, name: str = "heads", whole: str = "the model width"
) -> int:
    """Number of channels in each of a number of heads that share a width equally.

    Args:
      width: Number of channels of all heads together.
      heads: Number of heads, or of groups.
      name: Name of the setting that gives their number.
      whole: What the width is of, for the message.

    Raises:
      ValueError: The heads do not divide the width.
    """
    if width % heads:
        raise ValueError(f"{name}={heads}: must divide {whole} {width}")
    return width // heads
