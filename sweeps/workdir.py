"""The work directory: the record of one sweep, never shared by two."""

import hashlib
import json
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from sweeps.placement import cores
from sweeps.results import write_json
from train.tasks import Task

MANIFEST = "manifest.json"
SUMMARY = "onset.json"
METRICS = "metrics.parquet"
FIGURES = "figures"
CHECKPOINT = "checkpoints/final"
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


def claim(workdir: Path, config: ConfigDict, mark: str, need_bytes: float) -> bool:
    """Makes the directory this sweep's own.

    Args:
      workdir: made if missing.
      config: the sweep's.
      mark: its `fingerprint`.
      need_bytes: what it will write.

    Returns:
      True if this very sweep is already complete there.

    Raises:
      ValueError: not writable, not empty, another sweep's, or too little disk.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        probe = workdir / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ValueError(
            f"workdir={workdir}: cannot be written ({error.strerror})"
        ) from None
    if (workdir / MANIFEST).exists():
        manifest = read_manifest(workdir)
        if manifest["fingerprint"] != mark:
            changed = _differences(manifest["config"], _plain(config))
            raise ValueError(
                f"workdir={workdir} holds another sweep ({changed}); "
                "choose another directory"
            )
        if manifest["complete"]:
            return True
    elif any(workdir.iterdir()):
        raise ValueError(f"workdir={workdir} is not empty and holds no sweep")
    free = shutil.disk_usage(workdir).free
    if free < need_bytes + SPARE_BYTES:
        raise ValueError(
            f"workdir={workdir}: the sweep writes about {need_bytes / 1e6:.0f} MB, "
            f"{free / 1e6:.0f} MB are free"
        )
    return False


def read_manifest(workdir: Path) -> dict[str, Any]:
    """Reads a manifest.

    Raises:
      ValueError: it is damaged or not ours.
    """
    try:
        manifest = json.loads((workdir / MANIFEST).read_text())
        manifest["fingerprint"], manifest["config"], manifest["complete"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ValueError(
            f"workdir={workdir}: {MANIFEST} is damaged ({error})"
        ) from None
    return manifest


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
      ValueError: it is missing or damaged.
    """
    try:
        return json.loads((workdir / SUMMARY).read_text())
    except (ValueError, OSError) as error:
        raise ValueError(f"workdir={workdir}: {SUMMARY} is damaged ({error})") from None
