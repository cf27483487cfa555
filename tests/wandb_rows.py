"""Compares what W&B recorded offline with the table of the sweep, row for row.

    python -m tests.wandb_rows DIR ... [--kills=3]

Every row of every member's run must be the row of `metrics.parquet` at that step: no
row more, none less, none twice, and each number equal as float32. With ``--kills`` a
small sweep is launched into the directory, which must not exist, killed with SIGKILL so
often at random moments, and finished.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq

from sweeps.tracking.records import history
from sweeps.tracking.rows import STEP, plain_name
from tests.kill_resume import start


class Differences(NamedTuple):
    """What was compared, and what was wrong."""

    members: int
    rows: int
    wrong: list[str]


def compare(workdir: Path) -> Differences:
    """Compares all runs of members with the numbers of whole models in the table."""
    whole = [("layer", "=", -1), ("null", "=", "")]
    columns = ["member", "step", "metric", "value"]
    table = pq.read_table(workdir / "metrics.parquet", columns=columns, filters=whole)
    expected: dict[int, dict[int, dict[str, float]]] = {}
    for row in table.to_pylist():
        steps = expected.setdefault(row["member"], {})
        steps.setdefault(row["step"], {})[plain_name(row["metric"])] = row["value"]
    wrong, rows = [], 0
    files = sorted((workdir / "wandb").glob("*run-*/run-*-member-*.wandb"))
    numbers = [int(path.stem[-4:]) for path in files]
    if numbers != sorted(expected):
        wrong.append(f"runs of members {numbers}")
    for number, path in zip(numbers, files, strict=True):
        said = history(path)
        rows += len(said)
        if [row[STEP] for row in said] != sorted(expected[number]):
            wrong.append(f"{path.stem}: steps {[row[STEP] for row in said]}")
            continue
        for row in said:
            known = expected[number][row[STEP]]
            wrong += [
                f"{path.stem}, step {row[STEP]}: {name} {value}, not {known.get(name)}"
                for name, value in row.items()
                if name != STEP and np.float32(value) != known.get(name)
            ]
            if not {"concentration/hub_mass", "loss/held_out"} <= row.keys():
                wrong.append(f"{path.stem}, step {row[STEP]}: lacks measures")
    return Differences(len(files), rows, wrong)


def kill_and_finish(workdir: Path, kills: int, cache: Path) -> None:
    """Runs a small sweep to its end that is killed so often on the way."""
    chance, more = random.Random(0), ["--config.wandb.mode=offline"]
    died = 0
    while True:
        process = start(workdir, cache, more)
        try:
            # The first launch compiles for a while before it has anything to lose.
            wait = chance.uniform(5, 20) if died < kills else None
            assert process.wait(timeout=wait) == 0
            return
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            died += 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workdirs", nargs="+", type=Path)
    parser.add_argument("--kills", type=int, default=0)
    given = parser.parse_args()
    failed = False
    for one in given.workdirs:
        if given.kills:
            with tempfile.TemporaryDirectory() as folder:
                kill_and_finish(one, given.kills, Path(folder))
        found = compare(one)
        failed |= bool(found.wrong)
        print(f"{one}: {found.rows} rows of {found.members} members", *found.wrong[:20])
    sys.exit(failed)
