"""All measures under all nulls at the end of a sweep, and their reductions."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from scipy import stats

from routers.signature.reduction import reduction


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """All measures under all nulls at one step.

    Axes: M members, R variants (the network as it is, then its nulls), E sequences,
    L layers, H heads.

    Attributes:
      step: Number of optimiser steps taken.
      nulls: Names of the variants ``[R]``; ``""``, the network as it is, comes first.
      absent: Reason, in one line, for each null that does not exist here, by name.
      measures: Values ``[M, R, E, L, H]`` by the slash name of the measure.
    """

    step: int
    nulls: tuple[str, ...]
    absent: dict[str, str]
    measures: Mapping[str, np.ndarray]

    def model(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """A number for the whole model ``[M, R]``, and per sequence ``[M, R, E]``."""
        values = self.measures[name]
        return reduced(name, mean(values)), reduced(name, values)

    def nulls_of(self, name: str, chosen: np.ndarray) -> dict[str, np.ndarray]:
        """A measure under each null, for all sequences of the chosen members."""
        _, spread = self.model(name)
        found = {
            null: spread[chosen, index][np.isfinite(spread[chosen, index])]
            for index, null in enumerate(self.nulls)
            if null
        }
        return {null: samples for null, samples in found.items() if len(samples)}


def mean(values: np.ndarray) -> np.ndarray:
    """Mean of ``[M, R, E, ...]`` over sequences with a value; NaN if there are none."""
    finite = np.isfinite(values)
    count = finite.sum(2)
    total = np.where(finite, values, 0.0).sum(2)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def reduced(name: str, values: np.ndarray) -> np.ndarray:
    """The number of the whole model, from values ``[..., L, H]`` of a measure.

    Raises:
      ValueError: the measure has no such number.
    """
    extreme = reduction(name)
    if extreme is None:
        raise ValueError(f"{name} has no number of the whole model")
    return reduce(values, extreme)


def reduce(values: np.ndarray, extreme: str) -> np.ndarray:
    """Reduces ``[..., L, H]`` over layers and heads that have a value, else to NaN.

    Args:
      values: Values of a measure, NaN where it is not defined.
      extreme: ``"max"``, ``"min"``, ``"mean"`` or ``"absmax"`` (largest magnitude).
    """
    finite, axes = np.isfinite(values), (-2, -1)
    count = finite.sum(axes)
    high = np.where(finite, values, -np.inf).max(axes)
    low = np.where(finite, values, np.inf).min(axes)
    found = {
        "max": high,
        "min": low,
        "mean": np.where(finite, values, 0.0).sum(axes) / np.maximum(count, 1),
        "absmax": np.where(-low > high, low, high),
    }[extreme]
    return np.where(count > 0, found, np.nan)


def most_common(hubs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Most common hub over the sequences of ``[M, R, E, L, H]``, and its share."""
    found = stats.mode(hubs, axis=2)
    return found.mode, found.count / hubs.shape[2]
