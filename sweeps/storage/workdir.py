"""The work directory: the record of one sweep, never shared by two."""

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from sweeps.errors import BadInput
from sweeps.runtime.placement import cores
from sweeps.storage.files import write_json
from train.tasks import Task

MANIFEST = "manifest.json"
SUMMARY = "onset.json"
METRICS = "metrics.parquet"
FIGURES = "figures"
CHECKPOINT = "checkpoints/final"
JOURNAL = "checkpoints"
LOCK = ".lock"
PACKAGES = ("jax", "flax", "optax", "orbax-checkpoint", "wandb", "numpy")
SPARE_BYTES = 100e6


def fingerprint(config: ConfigDict, task: Task) -> str:
    """Identifies a sweep: its config without tracking, and the task's arrays."""
    settings = config.to_dict()
    settings.pop("wandb")
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for leaf in jax.tree.leaves(task):
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()


@contextlib.contextmanager
def hold(workdir: Path) -> Iterator[None]:
    """Keeps other launches off the directory; the system lets go when we die.

    Args:
      workdir: made if missing.

    Raises:
      BadInput: not writable, not empty and no sweep's, or another launch holds it.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        names = {path.name for path in workdir.iterdir()}
        if names - {LOCK} and MANIFEST not in names:
            raise BadInput(f"workdir={workdir} is not empty and holds no sweep")
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
                f"workdir={workdir}: in use by {owner}; wait for it, or choose another"
            ) from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {platform.node()}")
        lock.flush()
        yield


def claim(workdir: Path, config: ConfigDict, mark: str, need_bytes: float) -> bool:
    """Makes the directory this sweep's own.

    Args:
      workdir: held.
      config: the sweep's.
      mark: its `fingerprint`.
      need_bytes: what it will write.

    Returns:
      True if this very sweep is already complete there.

    Raises:
      BadInput: another sweep's, damaged, or too little disk.
    """
    if (workdir / MANIFEST).exists():
        manifest = read_manifest(workdir)
        if manifest["fingerprint"] != mark:
            changed = _differences(manifest["config"], _plain(config))
            raise BadInput(
                f"workdir={workdir} holds another sweep ({changed}); "
                "choose another directory"
            )
        if manifest["complete"]:
            _check_files(workdir, manifest.get("files", {}))
            return True
    free = shutil.disk_usage(workdir).free
    if free < need_bytes + SPARE_BYTES:
        raise BadInput(
            f"workdir={workdir}: the sweep writes about {need_bytes / 1e6:.0f} MB, "
            f"{free / 1e6:.0f} MB are free"
        )
    return False


def read_manifest(workdir: Path) -> dict[str, Any]:
    """Reads a manifest.

    Raises:
      BadInput: it is damaged or not ours.
    """
    try:
        manifest = json.loads((workdir / MANIFEST).read_text())
        manifest["fingerprint"], manifest["config"], manifest["complete"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise BadInput(f"workdir={workdir}: {MANIFEST} is damaged ({error})") from None
    return manifest


def read_placement(workdir: Path) -> dict[str, int] | None:
    """The placement that a stopped sweep had; None where none is known.

    Raises:
      BadInput: the manifest is damaged or not ours.
    """
    if not (workdir / MANIFEST).exists():
        return None
    return read_manifest(workdir).get("placement")


def checksums(workdir: Path) -> dict[str, str]:
    """SHA-256 of the tables of a finished sweep, by name."""
    return {
        name: hashlib.sha256((workdir / name).read_bytes()).hexdigest()
        for name in (METRICS, SUMMARY)
    }


def _check_files(workdir: Path, known: dict[str, str]) -> None:
    for name, digest in known.items():
        path = workdir / name
        if not path.is_file() or checksums(workdir)[name] != digest:
            raise BadInput(
                f"workdir={workdir}: {name} is damaged or was changed; the sweep has "
                f"to be run again, in another directory"
            )


def write_manifest(
    workdir: Path, config: ConfigDict, mark: str, complete: bool, **facts: Any
) -> None:
    """Writes ``manifest.json``: what ran, with what, on what.

    Args:
      workdir: claimed.
      config: the sweep's.
      mark: its `fingerprint`.
      complete: whether everything else in the directory is final.
      **facts: members, placement, times, tracking ids, ...
    """
    content = {
        "schema": 1,
        "complete": complete,
        "files": checksums(workdir) if complete else {},
        "fingerprint": mark,
        "config": _plain(config),
        "versions": {"python": platform.python_version()}
        | {"router-sweeps": version("router-sweeps")}
        | {name: version(name) for name in PACKAGES},
        "git_commit": _git_commit(),
        "device": {
            "platform": jax.default_backend(),
            "kind": jax.devices()[0].device_kind,
            "cores": cores(),
        },
        **facts,
    }
    write_json(workdir / MANIFEST, content)


def _plain(config: ConfigDict) -> Any:
    """The config as JSON would give it back (tuples are lists)."""
    return json.loads(json.dumps(config.to_dict()))


def _differences(old: Any, new: Any, path: str = "") -> str:
    """The settings that differ, named as on the command line."""
    found = []

    def walk(old: Any, new: Any, path: str) -> None:
        if isinstance(old, dict) and isinstance(new, dict):
            for key in sorted(old.keys() | new.keys()):
                walk(old.get(key), new.get(key), f"{path}.{key}" if path else key)
        elif old != new and not path.startswith("wandb"):
            found.append(f"{path} was {old}, now {new}")

    walk(old, new, path)
    if not found:
        return "the task's text changed"
    more = f", and {len(found) - 3} more" if len(found) > 3 else ""
    return "; ".join(found[:3]) + more


def _git_commit() -> str | None:
    """Commit of the source tree, or None outside a repository."""
    here = Path(__file__).resolve().parent
    command = ["git", "-C", str(here), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None


def read_summary(workdir: Path) -> dict[str, Any]:
    """Reads ``onset.json`` of a complete sweep.

    Raises:
      BadInput: it is missing or damaged.
    """
    try:
        return json.loads((workdir / SUMMARY).read_text())
    except (ValueError, OSError) as error:
        raise BadInput(f"workdir={workdir}: {SUMMARY} is damaged ({error})") from None
