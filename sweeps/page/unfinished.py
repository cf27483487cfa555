"""How far a sweep got that is not finished, from the measurements in its journal."""

import dataclasses
from pathlib import Path

import numpy as np

from sweeps.inference.snapshot import LOSS
from sweeps.page.measures import HUB_MASS
from sweeps.storage.files import JOURNAL
from sweeps.storage.measurements import measurements


@dataclasses.dataclass(frozen=True)
class Measured:
    """One measurement of the members that were in training together.

    Attributes:
      wave: Number of the wave of members.
      step: Training step.
      members: Number of members.
      loss: Median held-out loss over members, in nats; NaN if unknown.
      hub_mass: Median hub mass over members; NaN if unknown.
    """

    wave: int
    step: int
    members: int
    loss: float
    hub_mass: float


@dataclasses.dataclass(frozen=True)
class Progress:
    """What a journal holds.

    Attributes:
      measured: The measurements of trained members, in the order they were taken.
      passes: Number of finished passes over a published model.
    """

    measured: list[Measured]
    passes: int


def read_progress(workdir: Path) -> Progress:
    """What is in the journal of an unfinished sweep; damaged files are left out."""
    found = []
    for wave, folder in enumerate(sorted((workdir / JOURNAL).glob("wave-*"))):
        for path in measurements(folder):
            one = _read(path, wave)
            found += [one] if one else []
    return Progress(found, len(list((workdir / JOURNAL).glob("*.npz"))))


def _read(path: Path, wave: int) -> Measured | None:
    try:
        with path.open("rb") as opened, np.load(opened) as file:
            alive = file["diverged"] < 0
            middle = {
                name: np.median(file[f"model:{name}"][alive, 0]) if alive.any() else 0
                for name in (LOSS, HUB_MASS)
                if f"model:{name}" in file.files
            }
            return Measured(
                wave=wave,
                step=int(file["step"]),
                members=len(alive),
                loss=float(middle.get(LOSS, np.nan)),
                hub_mass=float(middle.get(HUB_MASS, np.nan)),
            )
    except Exception:  # the readers of damaged files may raise anything
        return None
