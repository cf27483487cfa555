"""Which paths a work directory can have, and what may lie in it before training."""

import re
from pathlib import Path

from sweeps.errors import BadInput, printable
from sweeps.storage.files import (
    CHECKPOINT,
    FIGURES,
    JOURNAL,
    MANIFEST,
    METRICS,
    REPORT,
    ROUTING,
    STEPS,
    SUMMARY,
)
from sweeps.storage.lock import LOCK

FOLDERS = (JOURNAL, CHECKPOINT, STEPS, FIGURES, "wandb")
FILES = (MANIFEST, METRICS, SUMMARY, ROUTING, REPORT, LOCK)
UNUSABLE = {r"\[.*\]": "brackets", r"\\": "a backslash"}
"""Regular expressions of what a path cannot contain, with their names.

The library of the checkpoints reads brackets and backslashes as something else, and
saves what it cannot read back."""


def check_path(path: Path) -> Path:
    """Returns a work directory's path, absolute.

    Raises:
      BadInput: it contains what a library cannot take.
    """
    path = path.absolute()
    for pattern, name in UNUSABLE.items():
        if re.search(pattern, str(path)):
            raise BadInput(
                f"workdir={printable(str(path))}: the path contains {name}, so that "
                "checkpoints could not be read back; choose another directory"
            )
    return path


def check_kinds(workdir: Path) -> None:
    """Checks that files are files and folders are folders, before anything is trained.

    Raises:
      BadInput: something of another kind is in the way.
    """
    points = [
        path
        for folder in (JOURNAL, STEPS)
        for wave in (workdir / folder).glob("wave-*")
        for path in ([wave] if not wave.is_dir() else wave.glob("[0-9]*"))
    ]
    folders = [path for path in points if path.suffix != ".npz"]
    files = [path for path in points if path.suffix == ".npz"]
    for path in [*(workdir / name for name in FOLDERS), *folders]:
        if path.is_symlink() or path.exists():
            _must(path.is_dir(), path, "a folder", workdir)
    for path in [*(workdir / name for name in FILES), *files]:
        if path.is_symlink() or path.exists():
            good = path.is_file() and not path.is_symlink()
            _must(good, path, "a regular file", workdir)


def _must(good: bool, path: Path, kind: str, workdir: Path) -> None:
    if not good:
        raise BadInput(
            f"workdir={workdir}: {path.relative_to(workdir)} is not {kind}; remove it, "
            "or choose another directory"
        )
