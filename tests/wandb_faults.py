"""Tries W&B servers that refuse, fall silent or are lost; prints what a sweep waits.

    python -m tests.wandb_faults

A simulated sweep of 30 members is mirrored each time. Its first step has to wait at
most 15 s, and so has its end; every case but the first costs one line.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from sweeps.findings.summary import summarize_sweep
from sweeps.tracking.mirror import Mirror
from sweeps.tracking.protocol import Plan
from tests.sweeps.simulated import simulate_results
from tests.sweeps.tracking.fake_server import KEY, Server, free_port, serving

SETTLED = 8.0
"""Seconds after which all runs are open."""
MOST_SECONDS = 15.0


def mirrored(
    server: Server, folder: Path, later: str
) -> tuple[float, float, list[str]]:
    """Seconds that begin and end of the sweep took, and what was said."""
    results = simulate_results(np.asarray((0.1, 0.2, 0.3)))
    summary, grid = summarize_sweep(results, "attention"), results.experiment.grid
    manifest = {"complete": True, "fingerprint": "", "config": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    names = ("onset", None, str(folder), "attention-1", "attention", "token_brake")
    warnings: list[str] = []
    plan = Plan("auto", *names, {}, grid.members, False)
    begun = time.monotonic()
    mirror = Mirror(plan, results.experiment, folder, warnings.append)
    mirror.begin(grid)
    first = time.monotonic() - begun
    for snapshot in results.snapshots:
        mirror.log(snapshot, np.zeros(grid.members, bool))
    time.sleep(SETTLED)
    if later == "silent":
        server.silent = True
    if later == "refuses":
        server.refusal = (500, "out of order")
    ended = time.monotonic()
    mirror.finish(results, summary, [])
    return first, time.monotonic() - ended, warnings


def main() -> int:
    """Tries everything; returns the number of cases that were not as they should."""
    wrong = 0
    for case in ("well", "refused", "silent", "no server", "short key", *LATER):
        with serving() as server, tempfile.TemporaryDirectory() as folder:
            os.environ |= {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY}
            if case == "refused":
                server.refusal = (401, "permission denied")
            if case == "silent":
                server.silent = True
            if case == "no server":
                os.environ["WANDB_BASE_URL"] = f"http://127.0.0.1:{free_port()}"
            if case == "short key":
                os.environ["WANDB_API_KEY"] = "short"
            first, last, said = mirrored(server, Path(folder), LATER.get(case, ""))
            right = max(first, last) <= MOST_SECONDS and len(said) == (case != "well")
            wrong += not right
            shown = "" if right else "  WRONG"
            print(f"{case:14} {first:5.1f} s {last:5.1f} s{shown}", *said, flush=True)
    return wrong


LATER = {"silent later": "silent", "refuses later": "refuses"}

if __name__ == "__main__":
    sys.exit(main())
