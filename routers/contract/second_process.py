"""The same router in another process, where what happens at import may differ."""

import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from routers.base import Router
from routers.contract.differences import Unchecked, difference, first, one_line
from routers.contract.running import digest
from routers.contract.specimen import specimen

ANSWER = "from routers.contract.second_process import answer; answer()"
LONGEST = 120
"""Seconds that the other process may take."""


def agrees_with_another_process(router: Router, kind: str, seed: int) -> str | None:
    """A new process gives the same parameters, y and weights for the same seed."""
    try:
        question = pickle.dumps((router, kind, seed))
    except Exception as error:
        return Unchecked(f"the router cannot be sent to a process: {one_line(error)}")
    here = digest(specimen(router, kind, seed))
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "digest.npz"
        paths = [path or os.getcwd() for path in sys.path]
        done = subprocess.run(
            [sys.executable, "-c", ANSWER, str(target)],
            input=question,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            timeout=LONGEST,
        )
        if done.returncode:
            lines = done.stderr.decode(errors="replace").split("\n")
            reason = next((line for line in reversed(lines) if line.strip()), "")
            return f"the router cannot be built in another process: {reason[:300]}"
        with np.load(target) as saved:
            there = dict(saved)
    return first(
        difference(f"{name} in another process", there[name], here[name])
        for name in here
    )


def answer() -> None:
    """Runs in the other process: reads the router, writes its numbers."""
    router, kind, seed = pickle.load(sys.stdin.buffer)
    np.savez(sys.argv[1], **digest(specimen(router, kind, seed)))
