"""One measurement of all members, reduced to one number per model and null.

A measure is taken in every layer and head. The model's one number is the extreme over
layers and heads that `routers.signature.reduction` names for the measure, and every
null takes the same extreme. Layers and heads where a measure has no value are left out.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from sweeps.inference.diagnosis import mean, reduced

LOSS = "loss/held_out"
ACCURACY = "accuracy/held_out"


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """One measurement of all members.

    Attributes:
      step: Number of optimiser steps taken.
      layers: Each measure per layer and head, ``[M, R, L, H]``, averaged over
        sequences; R counts `routers.signature.nulls.VARIANTS`.
      model: Each measure's number for the whole model, ``[M, R]``; also the held-out
        loss and accuracy, also of kinds of targets (of the sequences that have any).
      spread: The same numbers per sequence, ``[M, R, E]``, for quantiles of nulls.
      train_loss: Mean training loss since the last measurement, ``[M]``.
      diverged: Step at which a member diverged and froze, or -1, ``[M]``.
    """

    step: int
    layers: Mapping[str, np.ndarray]
    model: Mapping[str, np.ndarray]
    spread: Mapping[str, np.ndarray]
    train_loss: np.ndarray
    diverged: np.ndarray

    @property
    def alive(self) -> np.ndarray:
        """Members that have not diverged, bool ``[M]``."""
        return self.diverged < 0

    def by_layer(self, name: str) -> np.ndarray:
        """A measure's number for every layer ``[M, L]``, its extreme over heads."""
        return reduced(name, self.layers[name][:, 0, :, None])


def summarize(
    step: int,
    measures: Mapping[str, np.ndarray],
    train_loss: np.ndarray,
    diverged: np.ndarray,
) -> Snapshot:
    """Reduces raw measures ``[M, R, E, L, H]`` (losses, accuracy: ``[M, R, E]``)."""
    layers, model, spread = {}, {}, {}
    for name, values in measures.items():
        if values.ndim == 3:
            plain = name in (LOSS, ACCURACY)  # not finite where a member diverges
            model[name] = values.mean(-1) if plain else mean(values)
            spread[name] = values
            continue
        layers[name] = mean(values)  # the rank ratio is taken on some sequences
        model[name] = reduced(name, layers[name])
        spread[name] = reduced(name, values)
    return Snapshot(step, layers, model, spread, train_loss, diverged)


def join_snapshots(parts: Sequence[Snapshot]) -> Snapshot:
    """Joins snapshots of different members at one step, members in the given order."""

    def joined(field: str) -> dict[str, np.ndarray]:
        tables = [getattr(part, field) for part in parts]
        return {name: np.concatenate([t[name] for t in tables]) for name in tables[0]}

    return Snapshot(
        step=parts[0].step,
        layers=joined("layers"),
        model=joined("model"),
        spread=joined("spread"),
        train_loss=np.concatenate([part.train_loss for part in parts]),
        diverged=np.concatenate([part.diverged for part in parts]),
    )
