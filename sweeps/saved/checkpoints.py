"""Reads parameters of members, those after the last step and those that were kept."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from sweeps.engine.inputs import take_rows
from sweeps.errors import BadInput
from sweeps.storage.files import CHECKPOINT, JOURNAL, STEPS
from sweeps.storage.journal import kept_folder
from train.checkpoint import load_part


def kept_steps(workdir: Path) -> list[int]:
    """Steps before the last one at which parameters were kept, increasing."""
    first = (workdir / STEPS).glob("wave-0000/*")
    return sorted(int(path.name) for path in first if path.name.isdecimal())


def final_params(workdir: Path) -> Any:
    """Parameters of all members after the last step, NumPy arrays ``[M, ...]``.

    Raises:
      BadInput: they are missing or damaged.
    """
    return _read(workdir, workdir / CHECKPOINT, ("states", "params"))


def kept_params(workdir: Path, step: int, waves: Sequence[int]) -> Any:
    """Parameters of all members at a kept step, NumPy arrays ``[M, ...]``.

    Args:
      workdir: Work directory of the sweep.
      step: One of `kept_steps`.
      waves: Number of members of every wave; further rows only fill up its devices.

    Raises:
      BadInput: they are missing or damaged.
    """
    parts = []
    for number, members in enumerate(waves):
        path = kept_folder(workdir / JOURNAL, number, step)
        parts.append(take_rows(_read(workdir, path), slice(members)))
    return jax.tree.map(lambda *rows: np.concatenate(rows), *parts)


def _read(workdir: Path, path: Path, keys: tuple[str, ...] = ()) -> Any:
    name = path.relative_to(workdir)
    if not path.is_dir():
        raise BadInput(f"workdir={workdir}: {name} is missing")
    try:
        return load_part(path, keys)
    except Exception as error:  # the readers of damaged files may raise anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadInput(
            f"workdir={workdir}: {name} is damaged ({reason[:120]})"
        ) from error
