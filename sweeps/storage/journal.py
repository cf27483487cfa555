"""The journal of a sweep in progress, from which it resumes exactly where it stopped.

At the end of every chunk, the measurement of the wave in training is written to a file
of its own, and the states of its members to an Orbax checkpoint. A thread writes the
checkpoint while the next chunk trains. The file of the measurement also holds a
checksum of the states. A wave resumes from the newest point whose checkpoint is intact
and whose measurements, up to and including its own, are intact. A damaged point is
reported, and the one before it is used.

    WORKDIR/checkpoints/wave-0000/0003.npz    the measurement at point 3
    WORKDIR/checkpoints/wave-0000/0003/       the states at point 3

Parameters that are to stay are written beside the waves, and before the point that they
belong to, so that a sweep that resumes from a point has all that it should have kept.

    WORKDIR/checkpoints/kept/wave-0000/0000150/    the parameters at step 150
"""

import dataclasses
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from sweeps.inference.snapshot import Snapshot
from sweeps.runtime.processes import is_first
from sweeps.storage.files import (
    STEPS,
    remove,
    remove_temporaries,
    temporary_name,
    watch_folder,
)
from sweeps.storage.measurements import measurements, read_snapshot, write_snapshot
from train.checkpoint import Saving, checksum, load, save_async

KEPT = 2
"""Number of checkpoints, the newest ones, that are kept while a wave trains."""
KEPT_FOLDER = Path(STEPS).name
PATIENCE = 5.0
"""Seconds to wait for a save before checking whether its folder still exists."""


@dataclasses.dataclass(frozen=True)
class Saved:
    """A point from which a wave can resume.

    Attributes:
      states: States of the members at the last snapshot, on the devices asked for.
      snapshots: All snapshots up to this point, step 0 first.
    """

    states: Any
    snapshots: list[Snapshot]


class Journal:
    """The journal of one sweep.

    Every process calls every method, but only the first one writes measurements.

    Attributes:
      restored: Number of member-steps that were read back and not trained again.
      check: Raises OSError if the journal's folder was removed or replaced.
    """

    def __init__(
        self, folder: Path, warn: Callable[[str], None], mark: str = ""
    ) -> None:
        """Opens a journal, new or with the points of an interrupted sweep.

        Args:
          folder: Folder of the journal, created if missing.
          warn: Called with one line about every damaged point.
          mark: The sweep's `sweeps.storage.manifest.fingerprint`; points of another
            sweep are not used.
        """
        self._folder, self._warn, self._mark = folder, warn, mark
        self._saving: Saving | None = None
        self._unread: tuple[Path, Any, np.ndarray] | None = None
        self._proven = False
        self.restored = 0
        folder.mkdir(parents=True, exist_ok=True)
        if is_first():
            kept = folder / KEPT_FOLDER
            for place in (folder, *folder.glob("wave-*"), *kept.glob("wave-*")):
                remove_temporaries(place)
        self.check = watch_folder(folder)

    def newest(self, wave: int, like: Any) -> Saved | None:
        """The newest intact point of a wave, or None.

        Args:
          wave: Number of the wave.
          like: States with the shapes, dtypes and shardings wanted.
        """
        folder = self._wave_folder(wave)
        points = [int(path.stem) for path in measurements(folder)][::-1]
        for point in points:
            # An unfinished save does not have its final name yet; that is no damage.
            if not _states_folder(folder, point).is_dir():
                continue
            try:
                saved = self._read(folder, point, like)
            # The readers of damaged files may raise anything.
            except Exception as error:
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                self._warn(
                    f"{_states_folder(folder, point)} is damaged ({reason[:120]}); "
                    "resuming from the checkpoint before it"
                )
                continue
            last = saved.snapshots[-1]
            self._proven = True
            self.restored += last.step * len(last.diverged)
            return saved
        return None

    def add(self, wave: int, point: int, states: Any, snapshot: Snapshot) -> None:
        """Saves a point; returns before its states are on disk.

        Args:
          wave: Number of the wave.
          point: Number of the measurement, 0 before training.
          states: States of the members; they may be donated afterwards.
          snapshot: The measurement.

        Raises:
          OSError: the save before this one, or this measurement, could not be written.
        """
        self.wait()
        self.check()
        folder = self._wave_folder(wave)
        folder.mkdir(exist_ok=True)
        saved = _states_folder(folder, point)
        checked = np.asarray(checksum(states))
        if is_first():
            rows = len(states.step)
            path = folder / f"{point:04d}.npz"
            write_snapshot(path, snapshot, rows, checked, self._mark)
            for old in range(point - KEPT + 1):
                shutil.rmtree(_states_folder(folder, old), ignore_errors=True)
        if not self._proven:
            self._unread = saved, jax.tree.map(_abstract, states), checked
        self._saving = save_async(saved, states)

    def keep(self, wave: int, step: int, params: Any) -> None:
        """Writes parameters that stay; returns once they are on disk.

        A step that is trained once more after a kill replaces what it had kept, bit by
        bit the same.

        Args:
          wave: Number of the wave.
          step: Number of training steps that the parameters have had.
          params: Parameters of the members, with the rows that pad them.

        Raises:
          OSError: they, or the save before them, could not be written.
        """
        self.wait()
        self.check()
        path = kept_folder(self._folder, wave, step)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._saving = save_async(path, params)
        self.wait()

    def wait(self) -> None:
        """Waits until everything is on disk.

        Raises:
          OSError: something could not be written.
        """
        saving, self._saving = self._saving, None
        while saving is not None:
            asked = time.monotonic()
            try:
                saving.result(timeout=PATIENCE)
            # Orbax raises errors of several libraries; here they all mean the same.
            except Exception as error:
                waiting = time.monotonic() - asked >= PATIENCE
                # If the folder is gone, Orbax would keep waiting for minutes.
                if waiting and self._folder.is_dir():
                    continue
                reason = (str(error).splitlines() or ["the folder is gone"])[0]
                raise OSError(
                    f"a checkpoint could not be written to {self._folder}: {reason}"
                ) from error
            self._read_back()
            return

    def _read_back(self) -> None:
        """Reads the first checkpoint of this launch back, as a resume would.

        Raises:
          OSError: it is not what was saved.
        """
        unread, self._unread = self._unread, None
        if unread is None:
            return
        path, like, checked = unread
        try:
            if (np.asarray(checksum(load(path, like))) != checked).any():
                raise ValueError("its checksum does not match")
        # Orbax and its libraries raise anything.
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise OSError(
                f"a checkpoint in {self._folder} cannot be read back, so that no "
                f"launch could resume from it: {reason[:160]}"
            ) from error
        self._proven = True

    def holds_points(self) -> bool:
        """Whether there is a point from which a launch could resume."""
        return any(
            _states_folder(wave, int(path.stem)).is_dir()
            for wave in self._folder.glob("wave-*")
            for path in measurements(wave)
        )

    def clear(self) -> None:
        """Removes all waves, once the results of the sweep are complete."""
        self.wait()
        if is_first():
            for folder in self._folder.glob("wave-*"):
                # Under its new name, no part of it passes for a journal.
                removed = folder.rename(temporary_name(self._folder))
                remove(removed)

    def _wave_folder(self, wave: int) -> Path:
        return self._folder / f"wave-{wave:04d}"

    def _read(self, folder: Path, point: int, like: Any) -> Saved:
        read = [
            read_snapshot(folder / f"{number:04d}.npz") for number in range(point + 1)
        ]
        if any(mark != self._mark for _, _, mark in read):
            raise ValueError("it belongs to another sweep")
        snapshots = [snapshot for snapshot, _, _ in read]
        rows, checked = read[-1][1]
        states = load(_states_folder(folder, point), _with_rows(like, rows))
        if (np.asarray(checksum(states)) != checked).any():
            raise ValueError("its checksum does not match")
        return Saved(_laid_out(states, like, len(snapshots[-1].diverged)), snapshots)


def kept_folder(folder: Path, wave: int, step: int) -> Path:
    """Where a journal keeps the parameters of a wave at a step."""
    return folder / KEPT_FOLDER / f"wave-{wave:04d}" / f"{step:07d}"


def _abstract(leaf: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)


def _states_folder(folder: Path, point: int) -> Path:
    return folder / f"{point:04d}"


def _with_rows(like: Any, rows: int) -> Any:
    """The shapes of ``like`` with another number of rows.

    Another number may not divide evenly among the devices, so the rows are replicated.
    """

    def of_leaf(leaf: Any) -> jax.ShapeDtypeStruct:
        sharding = leaf.sharding
        if rows != leaf.shape[0]:
            sharding = NamedSharding(sharding.mesh, PartitionSpec())
        return jax.ShapeDtypeStruct(
            (rows, *leaf.shape[1:]), leaf.dtype, sharding=sharding
        )

    return jax.tree.map(of_leaf, like)


def _laid_out(states: Any, like: Any, members: int) -> Any:
    """Pads the members' states to the rows of ``like`` and shards them like it."""
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
