"""The manifest of a sweep: what ran, with which versions, and on which machine."""

import hashlib
import json
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from sweeps.errors import BadInput
from sweeps.runtime.placement import cores
from sweeps.storage.files import MANIFEST, METRICS, SUMMARY, write_json
from train.tasks import Task

PACKAGES = ("jax", "flax", "optax", "orbax-checkpoint", "wandb", "numpy")


def fingerprint(config: ConfigDict, task: Task) -> str:
    """Identifies a sweep by its config, without tracking, and by the task's arrays."""
    settings = config.to_dict()
    settings.pop("wandb")
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for leaf in jax.tree.leaves(task):
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()


def write_manifest(
    workdir: Path, config: ConfigDict, mark: str, complete: bool, **facts: Any
) -> None:
    """Writes ``manifest.json``.

    Args:
      workdir: Work directory, claimed for the sweep.
      config: Config of the sweep.
      mark: Its `fingerprint`.
      complete: Whether everything else in the directory is final.
      **facts: Members, placement, times, tracking ids and so on.
    """
    results = (METRICS, SUMMARY) if complete else ()
    content = {
        "schema": 1,
        "complete": complete,
        "files": {name: checksum(workdir / name) for name in results},
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


def read_manifest(workdir: Path) -> dict[str, Any]:
    """Reads ``manifest.json``.

    Raises:
      BadInput: it is missing or damaged, or not the manifest of a sweep.
    """
    try:
        manifest = json.loads((workdir / MANIFEST).read_text())
        manifest["fingerprint"], manifest["config"], manifest["complete"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise BadInput(f"workdir={workdir}: {MANIFEST} is damaged ({error})") from None
    return manifest


def read_placement(workdir: Path) -> dict[str, int] | None:
    """The placement of an interrupted sweep, or None if none is known.

    Raises:
      BadInput: the manifest is damaged or not that of a sweep.
    """
    if not (workdir / MANIFEST).exists():
        return None
    return read_manifest(workdir).get("placement")


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def changed_settings(manifest: dict[str, Any], config: ConfigDict) -> str:
    """The settings in which a config differs from a manifest's, for an error message.

    Settings are named as on the command line; those of tracking are left out.
    """
    found = []

    def walk(old: Any, new: Any, path: str) -> None:
        if isinstance(old, dict) and isinstance(new, dict):
            for key in sorted(old.keys() | new.keys()):
                walk(old.get(key), new.get(key), f"{path}.{key}" if path else key)
        elif old != new and not path.startswith("wandb"):
            found.append(f"{path} was {old}, now {new}")

    walk(manifest["config"], _plain(config), "")
    if not found:
        return "the task's text changed"
    more = f", and {len(found) - 3} more" if len(found) > 3 else ""
    return "; ".join(found[:3]) + more


def _plain(config: ConfigDict) -> Any:
    """The config as JSON gives it back, with lists in place of tuples."""
    return json.loads(json.dumps(config.to_dict()))


def _git_commit() -> str | None:
    """Commit of the source tree, or None outside a repository."""
    here = Path(__file__).resolve().parent
    command = ["git", "-C", str(here), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None
