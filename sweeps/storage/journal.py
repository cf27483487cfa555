"""What a sweep under way has on disk, so that it can go on exactly where it was.

At every chunk's end a turn's measurement goes into a file of its own, and the states
of its members into an Orbax checkpoint that a thread writes while the next chunk
trains. The measurement also holds a checksum of the states. A turn goes on from its
newest point whose checkpoint and whose measurements, its own and all before, are
whole; a damaged one is named and the one before is taken.

    WORKDIR/checkpoints/turn-0000/0003.npz    the measurement at point 3
    WORKDIR/checkpoints/turn-0000/0003/       the states there
"""

import dataclasses
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from sweeps.inference.criterion import Snapshot
from sweeps.runtime.processes import is_first
from train.checkpoint import Saving, checksum, load, save_async

KEPT = 2
"""Newest checkpoints that stay while a turn trains."""
PATIENCE = 5.0
"""Seconds after which a save under way is looked at."""
TABLES = ("layers", "model", "spread")


@dataclasses.dataclass(frozen=True)
class Saved:
    """Where a turn goes on.

    Attributes:
      states: at the last of the snapshots, placed as asked.
      snapshots: all so far, step 0 first.
    """

    states: Any
    snapshots: list[Snapshot]


class Journal:
    """Of one sweep; its turns are numbered from 0.

    Every process calls every method; the first one alone writes measurements.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        """Takes up what is there.

        Args:
          folder: made if missing.
          warn: called with one line about a damaged file.
        """
        self._folder, self._warn = folder, warn
        self._saving: Saving | None = None
        self.restored = 0
        """Member-steps that did not have to be trained again."""
        folder.mkdir(parents=True, exist_ok=True)

    def newest(self, turn: int, like: Any) -> Saved | None:
        """The newest whole point of a turn, or None.

        Args:
          turn: its number.
          like: states with the shapes, dtypes and shardings wanted.
        """
        folder = self._of(turn)
        points = sorted((int(path.stem) for path in folder.glob("*.npz")), reverse=True)
        for point in points:
            # An unfinished save has no folder of its final name and is no damage.
            if not _states(folder, point).is_dir():
                continue
            try:
                saved = self._read(folder, point, like)
            # Whatever a damaged file makes its reader raise.
            except Exception as error:
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                self._warn(
                    f"{_states(folder, point)} is damaged ({reason[:120]}); "
                    "going on from the one before"
                )
                continue
            last = saved.snapshots[-1]
            self.restored += last.step * len(last.diverged)
            return saved
        return None

    def add(self, turn: int, point: int, states: Any, snapshot: Snapshot) -> None:
        """Saves a point; returns before its states are on disk.

        Args:
          turn: its number.
          point: number of the measurement, 0 before training.
          states: may be donated afterwards.
          snapshot: the measurement.

        Raises:
          OSError: the save before this one, or this measurement, could not be written.
        """
        self.wait()
        folder = self._of(turn)
        folder.mkdir(exist_ok=True)
        checked = np.asarray(checksum(states))
        if is_first():
            rows = len(states.step)
            _write_snapshot(folder / f"{point:04d}.npz", snapshot, rows, checked)
            for old in range(point - KEPT + 1):
                shutil.rmtree(_states(folder, old), ignore_errors=True)
        self._saving = save_async(_states(folder, point), states)

    def wait(self) -> None:
        """Returns when all is on disk.

        Raises:
          OSError: it could not be written.
        """
        saving, self._saving = self._saving, None
        while saving is not None:
            asked = time.monotonic()
            try:
                saving.result(timeout=PATIENCE)
            # Orbax passes on errors of several libraries; all mean the same here.
            except Exception as error:
                waiting = time.monotonic() - asked >= PATIENCE
                # Without its folder Orbax waits for minutes.
                if waiting and self._folder.is_dir():
                    continue
                reason = (str(error).splitlines() or ["its folder is gone"])[0]
                raise OSError(
                    f"a checkpoint could not be written to {self._folder}: {reason}"
                ) from error
            return

    def clear(self) -> None:
        """Removes all turns, of a sweep whose results are complete."""
        self.wait()
        if is_first():
            for folder in self._folder.glob("turn-*"):
                shutil.rmtree(folder)

    def _of(self, turn: int) -> Path:
        return self._folder / f"turn-{turn:04d}"

    def _read(self, folder: Path, point: int, like: Any) -> Saved:
        read = [
            _read_snapshot(folder / f"{number:04d}.npz") for number in range(point + 1)
        ]
        snapshots = [snapshot for snapshot, _ in read]
        rows, checked = read[-1][1]
        states = load(_states(folder, point), _with_rows(like, rows))
        if (np.asarray(checksum(states)) != checked).any():
            raise ValueError("its checksum does not match")
        return Saved(_laid_out(states, like, len(snapshots[-1].diverged)), snapshots)


def _states(folder: Path, point: int) -> Path:
    return folder / f"{point:04d}"


def _with_rows(like: Any, rows: int) -> Any:
    """The same with other rows, which may not divide among the devices."""

    def of_leaf(leaf: Any) -> jax.ShapeDtypeStruct:
        sharding = leaf.sharding
        if rows != leaf.shape[0]:
            sharding = NamedSharding(sharding.mesh, PartitionSpec())
        return jax.ShapeDtypeStruct(
            (rows, *leaf.shape[1:]), leaf.dtype, sharding=sharding
        )

    return jax.tree.map(of_leaf, like)


def _laid_out(states: Any, like: Any, members: int) -> Any:
    """States of members as this machine's devices want them, rows padded anew."""
    shapes = [jax.tree.map(lambda leaf: leaf.shape, tree) for tree in (states, like)]
    if shapes[0] == shapes[1]:
        return states
    rows = jax.tree.leaves(like)[0].shape[0]
    order = np.pad(np.arange(members), (0, rows - members))
    shardings = jax.tree.map(lambda leaf: leaf.sharding, like)
    take = jax.jit(
        lambda tree: jax.tree.map(lambda leaf: leaf[order], tree),
        out_shardings=shardings,
    )
    return take(states)


def _write_snapshot(
    path: Path, snapshot: Snapshot, rows: int, checked: np.ndarray
) -> None:
    """Writes a measurement atomically; it is on disk before it has its name."""
    arrays = {
        f"{table}:{name}": values
        for table in TABLES
        for name, values in getattr(snapshot, table).items()
    }
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        np.savez(
            file,
            step=snapshot.step,
            train_loss=snapshot.train_loss,
            diverged=snapshot.diverged,
            rows=rows,
            checksum=checked,
            **arrays,
        )
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _read_snapshot(path: Path) -> tuple[Snapshot, tuple[int, np.ndarray]]:
    """A measurement, rows and checksum of the states there; zip checks its bits."""
    # NumPy does not close what it opened and found damaged.
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
    return snapshot, (int(arrays["rows"]), arrays["checksum"])
