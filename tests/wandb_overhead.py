"""Measures what tracking adds to a sweep: wall time, and the share of processor time.

    python tests/wandb_overhead.py --members=64

The sweep of `configs/attention.py` runs without tracking and with runs written to disk,
in turn. Wall times depend on what else the machine does; the processor time of W&B's
own processes beside that of the sweep does not, and bounds what tracking can cost.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
MEASURED = """
import resource, sys, time
from sweeps.main import main
begun = time.perf_counter()
code = main(sys.argv[1:])
used = [sum(resource.getrusage(who)[:2]) for who in
        (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print("measured", time.perf_counter() - begun, *used)
sys.exit(code)
"""


def run(mode: str, members: int, folder: Path, more: list[str]) -> list[float]:
    """Runs the sweep; returns wall seconds and processor seconds, its and W&B's."""
    settings = {"wandb.mode": mode, "sweep.num": members // 8 - 1, "sweep.seeds": 8}
    command = [sys.executable, "-c", MEASURED, "sweep"]
    command += [f"--config={ROOT}/configs/attention.py"]
    command += [f"--workdir={folder}/{mode}-{time.time_ns()}"]
    command += [f"--config.{name}={value}" for name, value in settings.items()]
    done = subprocess.run(
        [*command, *more], capture_output=True, text=True, cwd=ROOT, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    (line,) = [x for x in done.stdout.splitlines() if x.startswith("measured")]
    return [float(number) for number in line.split()[1:]]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=1)
    known, others = parser.parse_known_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    print(f"{known.members} members, {os.cpu_count()} cores, {hard} open files")
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(known.repeats):
            for mode in ("disabled", "offline"):
                wall, own, tracking = run(mode, known.members, Path(folder), others)
                print(
                    f"{mode:8} {wall:7.1f} s wall, {own:7.1f} s processor, "
                    f"{tracking:5.1f} s in other processes",
                    flush=True,
                )
