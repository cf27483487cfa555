"""The measurements in a journal: one NumPy archive for each, with its sweep's mark."""

import re
from pathlib import Path

import numpy as np

from sweeps.inference.snapshot import Snapshot
from sweeps.storage.files import replacing

TABLES = ("layers", "model", "spread")
"""Fields of a `Snapshot` that hold one array for each measure."""


def foreign_waves(folder: Path, mark: str) -> list[Path]:
    """Folders of waves in a journal whose newest measurement is of another sweep."""
    return [
        wave
        for wave in sorted(folder.glob("wave-*"))
        if any(_mark_of(path) not in (mark, None) for path in measurements(wave)[-1:])
    ]


def _mark_of(path: Path) -> str | None:
    """The fingerprint in a measurement; None if it is damaged."""
    try:
        with path.open("rb") as opened, np.load(opened) as file:
            return str(file["mark"]) if "mark" in file.files else ""
    except Exception:  # the readers of damaged files may raise anything
        return None


def measurements(folder: Path) -> list[Path]:
    """Files of the measurements of a wave, in their order; others are left out."""
    named = (p for p in folder.glob("*.npz") if re.fullmatch(r"\d{4,9}", p.stem))
    return sorted(named, key=lambda path: int(path.stem))


def write_snapshot(
    path: Path, snapshot: Snapshot, rows: int, checked: np.ndarray, mark: str
) -> None:
    """Writes a measurement atomically; it gets its name once it is on disk."""
    arrays = {
        f"{table}:{name}": values
        for table in TABLES
        for name, values in getattr(snapshot, table).items()
    }
    with replacing(path) as file:
        np.savez(
            file,
            step=snapshot.step,
            train_loss=snapshot.train_loss,
            diverged=snapshot.diverged,
            rows=rows,
            checksum=checked,
            mark=mark,
            **arrays,
        )


def read_snapshot(path: Path) -> tuple[Snapshot, tuple[int, np.ndarray], str]:
    """Reads a measurement, with rows and checksum of its states, and its sweep's mark.

    The zip format has checksums of its own, so damaged bits of the measurement raise.
    """
    # NumPy leaves a file open if it finds it damaged.
    with path.open("rb") as opened, np.load(opened) as file:
        arrays = {name: file[name] for name in file.files}
    tables: dict[str, dict[str, np.ndarray]] = {table: {} for table in TABLES}
    for name, values in arrays.items():
        table, colon, metric = name.partition(":")
        if colon:
            tables[table][metric] = values
    snapshot = Snapshot(
        step=int(arrays["step"]),
        train_loss=arrays["train_loss"],
        diverged=arrays["diverged"],
        **tables,
    )
    states = int(arrays["rows"]), arrays["checksum"]
    return snapshot, states, str(arrays["mark"])
