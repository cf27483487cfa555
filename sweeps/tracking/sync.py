"""Uploads what sweeps have written to disk for W&B: `wandb sync`, made answerable.

W&B marks each run that its server has taken with a file ``run-ID.wandb.synced``. What
is marked is never uploaded again, and a run that is uploaded twice is overwritten, so
no row is doubled.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sweeps.errors import BadInput
from sweeps.storage.manifest import read_manifest
from sweeps.tracking.process import Failed, WriterProcess

CHECK_SECONDS = 12.0
"""How long the server may take to say whether it knows the API key."""
PATIENCE = 60.0
"""How long the server may take to accept one more run."""
SYNCED = ".wandb.synced"


def waiting(workdir: Path) -> list[Path]:
    """The files of the runs of a sweep that W&B has not taken yet, by their names.

    Raises:
      BadInput: the directory holds no sweep, or one that left nothing for W&B.
    """
    manifest = read_manifest(workdir)
    tracked = manifest.get("wandb") or {}
    if not isinstance(tracked, dict):
        raise BadInput(f"workdir={workdir}: wandb in its manifest must be an object")
    folder = Path(str(tracked.get("directory") or workdir)) / "wandb"
    if not folder.is_dir():
        folder = workdir / "wandb"  # the work directory was moved
    runs = [
        path
        for path in sorted(folder.glob("*run-*/run-*.wandb"), key=lambda run: run.name)
        if _is_ours(path.stem.removeprefix("run-"), tracked)
    ]
    if not runs:
        raise BadInput(
            f"workdir={workdir}: holds no runs of Weights & Biases; a sweep writes "
            "them unless wandb.mode=disabled"
        )
    return [path for path in runs if not path.with_suffix(SYNCED).exists()]


def _is_ours(run: str, tracked: dict[str, object]) -> bool:
    """Whether a run is of this sweep; with $WANDB_DIR, several share one folder."""
    group = tracked.get("group")
    return group is None or run.startswith(f"{group}-") or run == tracked.get("curve")


def check_server() -> None:
    """Asks W&B's server whether it takes the API key.

    Raises:
      OSError: it does not, or cannot be reached.
    """
    process = WriterProcess()
    try:
        process.wait(process.ask("check"), CHECK_SECONDS)
    except Failed as error:
        raise OSError(f"Weights & Biases cannot be used online ({error})") from None
    finally:
        process.end(flush=False)


def upload(runs: list[Path], project: str | None, entity: str | None) -> str:
    """Uploads runs; W&B marks each one that its server has taken.

    Args:
      runs: Files of the runs.
      project: Project to upload to; None for the one that the runs name.
      entity: User or team; None for the one that the runs name.

    Returns:
      Why some were not taken, in one line; "" if all were.
    """
    command = [sys.executable, "-P", "-m", "wandb", "sync", "--yes", "--include-online"]
    command += [f"--project={project}"] if project else []
    command += [f"--entity={entity}"] if entity else []
    with tempfile.TemporaryFile() as said, tempfile.TemporaryDirectory() as logs:
        process = subprocess.Popen(
            [*command, *(str(run.absolute()) for run in runs)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            env=os.environ | {"WANDB_SILENT": "false", "WANDB_DIR": logs},
            start_new_session=True,
        )
        silent = _follow(process, runs)
        said.seek(0)
        lines = said.read().decode(errors="replace").splitlines()
    if not [run for run in runs if not run.with_suffix(SYNCED).exists()]:
        return ""
    errors = [line for line in lines if re.search(r"error|fail|denied", line, re.I)]
    plain = [re.sub(r"\x1b\[[\d;]*m|^wandb: *|ERROR *", "", line) for line in errors]
    return silent or (plain or ["the server did not take them"])[0].strip()[:200]


def _follow(process: "subprocess.Popen[bytes]", runs: list[Path]) -> str:
    """Waits for an upload as long as it moves on; says if it did not."""
    done, moved = 0, time.monotonic()
    while process.poll() is None:
        now = sum(run.with_suffix(SYNCED).exists() for run in runs)
        if now > done:
            done, moved = now, time.monotonic()
        if time.monotonic() - moved > PATIENCE:
            process.kill()
            process.wait()
            return f"nothing was taken for {PATIENCE:.0f} s"
        time.sleep(0.1)
    return ""
