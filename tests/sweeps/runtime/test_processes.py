"""Several processes run one sweep: the same numbers, one record, and no one waits."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from sweeps.commands.sweep import LOST
from sweeps.main import main
from sweeps.runtime.processes import TIMEOUT_SECONDS
from sweeps.runtime.stop_signal import STOPPED
from tests import QUICK_COMPILATION, ROOT

# In chunks of three steps, which are compiled for `tiny` already.
LONG = {"train.steps": 300, "eval.points": 100}
STOPPED_EARLY = {"train.steps": 60, "eval.points": 20}

pytestmark = pytest.mark.usefixtures("undrawn")

ONE_CORE = """
import os, sys, types
if hasattr(os, "sched_setaffinity"):
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[int(sys.argv.pop(1)) % len(cores)]})
from sweeps.main import entry
from sweeps.runtime import processes
# As in `undrawn`, and without Matplotlib, which is slow to import.
sys.modules["sweeps.report.figures"] = types.SimpleNamespace(draw_figures=lambda *_: [])
processes.TIMEOUT_SECONDS = 15  # a third of what users get
entry()
"""


def environment() -> dict[str, str]:
    """One device for each process, where this one has two."""
    return os.environ | {
        "PYTHONPATH": str(ROOT),
        "XLA_FLAGS": QUICK_COMPILATION,
    }


def flags(workdir: Path, settings: dict[str, Any]) -> list[str]:
    return [
        f"--config={ROOT}/configs/attention.py",
        f"--workdir={workdir}",
        *(f"--config.{key}={value}" for key, value in settings.items()),
    ]


class Pair:
    """Two processes of one sweep, each with a core and so a device."""

    def __init__(self, workdir: Path, settings: dict[str, Any]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.workdir = workdir
        self.logs = [workdir.parent / f"{workdir.name}.{i}.txt" for i in range(2)]
        self.processes = []
        for index, log in enumerate(self.logs):
            with log.open("wb") as output:
                self.processes.append(
                    subprocess.Popen(
                        [
                            *(sys.executable, "-c", ONE_CORE, str(index)),
                            *("sweep", "--distributed", "--processes=2"),
                            f"--process={index}",
                            f"--coordinator=127.0.0.1:{port}",
                            *flags(workdir, settings),
                        ],
                        env=environment(),
                        stdout=output,
                        stderr=subprocess.STDOUT,
                    )
                )

    def wait(self, seconds: float = 300) -> list[int]:
        return [process.wait(timeout=seconds) for process in self.processes]

    def until_saved(self, point: int) -> None:
        """Waits for a measurement in the journal."""
        file = self.workdir / f"checkpoints/wave-0000/{point:04d}.npz"
        for _ in range(3000):
            if file.exists():
                return
            assert all(process.poll() is None for process in self.processes), self.text
            time.sleep(0.1)
        pytest.fail(self.text)

    @property
    def text(self) -> str:
        return "\n".join(log.read_text(errors="replace") for log in self.logs)

    def __enter__(self) -> "Pair":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


def test_two_processes_agree_with_one(tiny: dict[str, Any], tmp_path: Path) -> None:
    with Pair(tmp_path / "pair", tiny) as pair:
        assert pair.wait() == [0, 0], pair.text
    assert main(["sweep", *flags(tmp_path / "one", tiny)]) == 0
    tables = [pq.read_table(tmp_path / n / "metrics.parquet") for n in ("pair", "one")]
    assert tables[0].num_rows == tables[1].num_rows
    for column in ("member", "step", "metric", "null"):
        assert tables[0][column].equals(tables[1][column])
    values = [table["value"].to_numpy() for table in tables]
    np.testing.assert_allclose(*values, rtol=1e-4, atol=1e-5)


def test_asked_to_stop_both_save_and_one_process_goes_on(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    settings = tiny | STOPPED_EARLY
    with Pair(tmp_path / "sweep", settings) as pair:
        pair.until_saved(2)
        pair.processes[1].send_signal(signal.SIGTERM)
        assert pair.wait(120) == [STOPPED, STOPPED], pair.text
    assert main(["sweep", *flags(tmp_path / "sweep", settings)]) == 0
    assert (tmp_path / "sweep/onset.json").exists()


def test_the_others_end_within_a_minute_of_a_death(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    """A third of the time that is given to a process here: see `ONE_CORE`."""
    assert TIMEOUT_SECONDS < 60
    with Pair(tmp_path / "sweep", tiny | LONG) as pair:
        pair.until_saved(2)
        pair.processes[1].kill()
        code = pair.processes[0].wait(30)
    # Who notices first says so: a broken collective, or JAX's heartbeat, which aborts.
    told = {LOST: "another one died", -signal.SIGABRT: "another task died"}
    assert code in told, pair.text
    assert told[code] in pair.text


def test_processes_without_distributed_are_refused(
    tiny: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workdir = tmp_path / "sweep"
    assert main(["sweep", "--processes=2", *flags(workdir, tiny)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "only together with --distributed" in line
    assert not workdir.exists()


def test_what_is_missing_is_named(tiny: dict[str, Any], tmp_path: Path) -> None:
    # In a process of its own: this one has used JAX.
    command = [sys.executable, "-m", "sweeps.main", "sweep", "--distributed"]
    done = subprocess.run(
        [*command, *flags(tmp_path / "sweep", tiny)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "--coordinator=HOST:PORT" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "sweep").exists()
