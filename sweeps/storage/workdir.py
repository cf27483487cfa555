"""The work directory, which belongs to one sweep and to one launch at a time."""

import contextlib
import fcntl
import json
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from sweeps.errors import BadInput
from sweeps.storage.files import MANIFEST, SUMMARY
from sweeps.storage.manifest import changed_settings, checksum, read_manifest

LOCK = ".lock"
SPARE_BYTES = 100e6
"""Disk space that must remain free beyond what the sweep will write."""


@contextlib.contextmanager
def hold(workdir: Path) -> Iterator[None]:
    """Keeps other launches out of the directory.

    The operating system releases the lock when this process ends, however it ends.

    Args:
      workdir: Directory to hold, created if missing.

    Raises:
      BadInput: the directory is not writable, or it is not empty and holds no sweep,
        or another launch holds it.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        names = {path.name for path in workdir.iterdir()}
        if names - {LOCK} and MANIFEST not in names:
            raise BadInput(
                f"workdir={workdir}: is not empty and holds no sweep; choose another "
                "directory"
            )
        lock = (workdir / LOCK).open("a+")
    except OSError as error:
        raise BadInput(
            f"workdir={workdir}: cannot be written ({error.strerror})"
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            owner = lock.read().strip() or "another process"
            raise BadInput(
                f"workdir={workdir}: in use by {owner}; wait until it ends, or choose "
                "another directory"
            ) from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {platform.node()}")
        lock.flush()
        yield


def claim(workdir: Path, config: ConfigDict, mark: str, need_bytes: float) -> bool:
    """Checks that the directory is free for a sweep or already belongs to it.

    Args:
      workdir: Directory to claim, held by this launch.
      config: Config of the sweep.
      mark: Its `sweeps.storage.manifest.fingerprint`.
      need_bytes: Number of bytes that the sweep will write.

    Returns:
      True if this very sweep is already complete there.

    Raises:
      BadInput: the directory holds another sweep or a damaged one, or the disk has too
        little space.
    """
    if (workdir / MANIFEST).exists():
        manifest = read_manifest(workdir)
        if manifest["fingerprint"] != mark:
            raise BadInput(
                f"workdir={workdir}: holds another sweep "
                f"({changed_settings(manifest, config)}); choose another directory"
            )
        if manifest["complete"]:
            _check_results(workdir, manifest.get("files", {}))
            return True
    free = shutil.disk_usage(workdir).free
    if free < need_bytes + SPARE_BYTES:
        raise BadInput(
            f"workdir={workdir}: the sweep writes about {need_bytes / 1e6:.0f} MB and "
            f"{SPARE_BYTES / 1e6:.0f} MB must remain, but only {free / 1e6:.0f} MB "
            "are free"
        )
    return False


def read_summary(workdir: Path) -> dict[str, Any]:
    """Reads ``onset.json`` of a complete sweep.

    Raises:
      BadInput: it is missing or damaged.
    """
    try:
        return json.loads((workdir / SUMMARY).read_text())
    except (ValueError, OSError) as error:
        raise BadInput(f"workdir={workdir}: {SUMMARY} is damaged ({error})") from None


def _check_results(workdir: Path, known: dict[str, str]) -> None:
    """Compares the result files with their checksum from the manifest."""
    for name, digest in known.items():
        path = workdir / name
        if not path.is_file() or checksum(path) != digest:
            raise BadInput(
                f"workdir={workdir}: {name} is damaged or was changed; run the sweep "
                "again in another directory"
            )
