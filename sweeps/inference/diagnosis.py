"""All measures under all nulls where a sweep ends: what was found, by name."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from scipy import stats

from routers.signature.reduction import reduction


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """All measures under all nulls at one step.

    Attributes:
      step: optimiser steps taken.
      nulls: names of the variants, ``""`` first.
      absent: null that does not exist here to the reason, one line.
      measures: by slash name, ``[M, R, E, L, H]``.
    """

    step: int
    nulls: tuple[str, ...]
    absent: dict[str, str]
    measures: Mapping[str, np.ndarray]

    def model(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """The model's number ``[M, R]`` and the same per sequence ``[M, R, E]``."""
        values, extreme = self.measures[name], reduction(name)
        if extreme is None:
            raise ValueError(f"{name} has no number of the whole model")
        return reduce(mean(values), extreme), reduce(values, extreme)

    def nulls_of(self, name: str, chosen: np.ndarray) -> dict[str, np.ndarray]:
        """A measure under each null, over sequences x some members ``[M]``."""
        _, spread = self.model(name)
        found = {
            null: spread[chosen, index][np.isfinite(spread[chosen, index])]
            for index, null in enumerate(self.nulls)
            if null
        }
        return {null: samples for null, samples in found.items() if len(samples)}


def mean(values: np.ndarray) -> np.ndarray:
    """Mean over sequences ``[M, R, E, ...]`` where defined, else NaN."""
    finite = np.isfinite(values)
    count = finite.sum(2)
    total = np.where(finite, values, 0.0).sum(2)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def reduce(values: np.ndarray, extreme: str) -> np.ndarray:
    """The extreme over layers and heads ``[..., L, H]`` where defined, else NaN."""
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
    """The most frequent hub over sequences ``[M, R, E, L, H]`` and its share."""
    found = stats.mode(hubs, axis=2)
    return found.mode, found.count / hubs.shape[2]
