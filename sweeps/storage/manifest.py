"""The manifest of a sweep: what ran, with which versions, and on which machine."""

import hashlib
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from sweeps.errors import BadInput
from sweeps.runtime.placement import cores
from sweeps.storage.files import (
    MANIFEST,
    METRICS,
    SUMMARY,
    checksum,
    read_json,
    write_json,
)
from sweeps.storage.shape import MANIFEST_SHAPE, check_shape

PACKAGES = ("jax", "flax", "optax", "orbax-checkpoint", "wandb", "numpy")
RESULTS = (METRICS, SUMMARY)
"""The files whose checksums the manifest holds."""
PLACEMENT = {"devices": int, "width": int, "data": int}
ROOT = Path(__file__).resolve().parents[2]
"""Top of the source tree, if this is one."""


def fingerprint(
    config: ConfigDict, task: Any, code: dict[str, Any] | None = None
) -> str:
    """Identifies a sweep or a measurement.

    Args:
      config: Its config; tracking does not count, nor does keeping nothing, which is
        what sweeps did before they could.
      task: Its task, or another tree of arrays, which count.
      code: What identifies the code of routers of other packages, if there are any.
    """
    settings = config.to_dict()
    settings.pop("wandb")
    if not settings.get("train", {}).get("keep_every", True):
        settings["train"].pop("keep_every")
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for leaf in jax.tree.leaves(task):
        digest.update(np.asarray(leaf).tobytes())
    if code:
        digest.update(json.dumps(code, sort_keys=True).encode())
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
    results = RESULTS if complete else ()
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
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "device": {
            "platform": jax.default_backend(),
            "kind": jax.devices()[0].device_kind,
            "cores": cores(),
        },
        **facts,
    }
    write_json(workdir / MANIFEST, content)


def amend_manifest(workdir: Path, **facts: Any) -> None:
    """Replaces facts in the manifest of a sweep that has written one.

    Raises:
      BadInput: the manifest is damaged.
      OSError: it cannot be written.
    """
    write_json(workdir / MANIFEST, read_manifest(workdir) | facts)


def read_manifest(workdir: Path) -> dict[str, Any]:
    """Reads ``manifest.json``.

    Raises:
      BadInput: it is missing or damaged, or not the manifest of a sweep.
    """
    try:
        manifest = read_json(workdir / MANIFEST)
        check_shape(manifest, MANIFEST_SHAPE)
        files = manifest.get("files", {})
        check_shape(files, dict, "files")
        if not files.keys() <= set(RESULTS):
            raise ValueError("files names a file that is no result")
        check_shape(files, dict.fromkeys(files, str), "files")
        if manifest.get("placement") is not None:
            check_shape(manifest["placement"], PLACEMENT, "placement")
    except (ValueError, OSError) as error:
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
        return "the task's text or a router's code changed"
    more = f", and {len(found) - 3} more" if len(found) > 3 else ""
    return "; ".join(found[:3]) + more


def _plain(config: ConfigDict) -> Any:
    """The config as JSON gives it back, with lists in place of tuples."""
    return json.loads(json.dumps(config.to_dict()))


def _git_commit() -> str | None:
    """Commit of the source tree; None if it is no checkout of its own.

    An installed copy may lie inside another repository, and the variables of a hook
    point to another one; neither says anything about this code.
    """
    if not (ROOT / "pyproject.toml").is_file():
        return None
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    command = ["git", "-C", str(ROOT), "rev-parse", "--show-toplevel", "HEAD"]
    try:
        done = subprocess.run(
            command, capture_output=True, env=clean, check=False, timeout=20
        )
    except (OSError, subprocess.SubprocessError):
        return None
    top, _, commit = os.fsdecode(done.stdout).strip().rpartition("\n")
    return commit if done.returncode == 0 and Path(top).resolve() == ROOT else None
