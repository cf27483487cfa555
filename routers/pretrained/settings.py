"""The settings of a published model, each checked as it is read."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from routers.rotary import rotary_frequencies

ROTATIONS = ("default", "linear", "llama3")
"""Supported ways to space the frequencies of a rotation."""

WIDEST = 1 << 16
"""Largest width of a head, far beyond any that exists."""


class Settings:
    """A model's settings by their published names.

    Every message names the file, the setting, its value and what is accepted.
    """

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        """Takes the values and the file that they are from, for messages."""
        self.values, self.where = values, where

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None

    def integer(self, name: str, default: int | None = None) -> int:
        """A whole number of at least 1; ValueError otherwise."""
        value = self._get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(
                f"{self.where}: {name}={value!r} must be a whole number of at least 1"
            )
        return value

    def divisor(
        self, name: str, whole: int, of: str, default: int | None = None
    ) -> int:
        """A whole number that divides another setting; ValueError otherwise."""
        value = self.integer(name, default)
        if whole % value:
            raise ValueError(f"{self.where}: {name}={value} must divide {of}={whole}")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """A finite number above 0; ValueError otherwise."""
        value = self._get(name, default)
        known = isinstance(value, int | float) and not isinstance(value, bool)
        if not known or not 0 < value < np.inf:
            raise ValueError(
                f"{self.where}: {name}={value!r} must be a finite number above 0"
            )
        return float(value)

    def choice(self, name: str, choices: Sequence[Any], default: Any = None) -> Any:
        """One of the supported values; ValueError otherwise."""
        value = self._get(name, default)
        if value not in choices:
            accepted = " or ".join(repr(choice) for choice in choices)
            raise ValueError(f"{self.where}: {name}={value!r} must be {accepted}")
        return value

    def part(self, name: str) -> "Settings":
        """The settings below a name; empty if there are none."""
        value = self.values.get(name) or {}
        if not isinstance(value, Mapping):
            raise ValueError(f"{self.where}: {name}={value!r} must be an object")
        return Settings(value, f"{self.where}: {name}")

    def _get(self, name: str, default: Any) -> Any:
        value = self.values.get(name)
        if value is None and default is None:
            raise ValueError(f"{self.where}: {name} is missing")
        return default if value is None else value


def frequencies(
    settings: Settings, channels: int, base: str = "rope_theta", share: str = ""
) -> tuple[float, ...]:
    """Angles per step of a rotation, from a model's settings.

    Args:
      settings: The settings; newer ones have a part ``rope_parameters``.
      channels: Width K of one head.
      base: Name of the base.
      share: Name of the share of channels that is rotated; all of them if empty.

    Raises:
      ValueError: The kind of rotation is not supported, or a number is missing.
    """
    newer = settings.part("rope_parameters")
    scaling = newer if newer.values else settings.part("rope_scaling")
    given = settings.number(base, 10000.0)
    theta = newer.number("rope_theta", given)
    older = settings.number(share, 1.0) if share else 1.0
    part = newer.number("partial_rotary_factor", older)
    if part > 1 or channels > WIDEST:
        raise ValueError(
            f"{settings.where}: a share {part} of heads {channels} wide cannot be "
            f"rotated; it must be at most 1 of at most {WIDEST}"
        )
    rotated = 2 * int(channels * part / 2)
    plain = rotary_frequencies(rotated, theta)
    kind = "rope_type" if "rope_type" in scaling else "type"
    how = scaling.choice(kind, ROTATIONS, "default")
    if how == "linear":
        plain = plain / np.float32(scaling.number("factor"))
    if how == "llama3":
        plain = _stretched(plain, scaling)
    return tuple(plain.tolist())


def _stretched(plain: np.ndarray, scaling: Settings) -> np.ndarray:
    """Llama 3's frequencies: slow ones slowed further, fast ones kept, blended."""
    factor, low, high, length = (
        scaling.number(name)
        for name in (
            "factor",
            "low_freq_factor",
            "high_freq_factor",
            "original_max_position_embeddings",
        )
    )
    if not low < high:
        raise ValueError(
            f"{scaling.where}: low_freq_factor={low} must be below "
            f"high_freq_factor={high}"
        )
    turns = length * plain / (2 * np.pi)  # within the length of the first training
    kept = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return ((1.0 - kept) * plain / factor + kept * plain).astype(np.float32)
