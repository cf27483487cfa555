"""Stand-ins for the tools that recipes call: they note what they are told."""

import os
import subprocess
from pathlib import Path

STAND_INS = {
    # Runs no task: notes the arguments and, if asked to hold, waits for the signal.
    "srun": """
        while [[ $1 == --* ]]; do shift; done
        printf '%s\\0' "$@" > "$HERE/part" && mv "$HERE/part" "$HERE/argv"
        until [[ -z ${HOLD:-} || -e $HERE/scancel ]]; do sleep 0.02; done
        exit "${CODE:-0}"
    """,
    "scancel": 'printf "%s " "$@" > "$HERE/part" && mv "$HERE/part" "$HERE/scancel"',
    "scontrol": 'printf "%s " "$@" > "$HERE/scontrol"',
    "onset": """printf '%s\\0' onset "$@" > "$HERE/argv"; exit "${CODE:-0}" """,
    "python3": """
        for word; do
          [[ $word != --wheel-dir=* ]] || touch "${word#*=}/onset-1-py3-none-any.whl"
        done
    """,
    # Every worker is this machine.
    "gcloud": """
        echo "${*//$'\\n'/ }" >> "$HERE/gcloud"
        for word; do
          case $word in
            --command=*) cd "$HERE" && exec bash -c "${word#--command=}" ;;
            --format=*) echo ACTIVE ;;
          esac
        done
    """,
}
NOTES = ("argv", "scancel", "scontrol", "gcloud")


def install(here: Path) -> None:
    """Puts the stand-ins into a folder, and an environment to activate."""
    (here / "bin").mkdir()
    for name, body in STAND_INS.items():
        (here / "bin" / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (here / "bin" / name).chmod(0o755)
    (here / "onset" / "venv" / "bin").mkdir(parents=True)
    (here / "onset" / "venv" / "bin" / "activate").touch()


def start(script: str, here: Path, **more: str) -> subprocess.Popen[bytes]:
    """Runs a recipe among the stand-ins, whose earlier notes are dropped."""
    for name in NOTES:
        (here / name).unlink(missing_ok=True)
    path = f"{here / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        ["bash", "-c", script],
        env={"PATH": path, "HERE": str(here), "SLURM_JOB_ID": "7", **more},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def run(script: str, here: Path, **more: str) -> int:
    """Runs a recipe to its end; it must say nothing on standard error."""
    process = start(script, here, **more)
    _, said = process.communicate(timeout=60)
    assert not said, said.decode()
    return process.returncode


def sweep_arguments(here: Path) -> list[str]:
    """What the sweep was started with."""
    return (here / "argv").read_bytes().decode().split("\0")[:-1]
