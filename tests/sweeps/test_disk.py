"""What a sweep cannot write or reach ends it with one line and exit code 1."""

import contextlib
import os
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests import ROOT

QUICK_JOIN = (
    "import sys; sys.argv[0] = 'onset'\n"
    "import sweeps.runtime.processes as processes; processes.JOIN_SECONDS = 2\n"
    "from sweeps.main import entry; entry()"
)


def launch(
    tiny: dict[str, Any], workdir: Path, limit: str = "", **more: Any
) -> "subprocess.Popen[str]":
    """Launches a sweep in a process of its own, after a shell command."""
    flags = [f"--config.{key}={value}" for key, value in (tiny | more).items()]
    config = f"--config={ROOT}/configs/attention.py"
    words = [sys.executable, "-m", "sweeps.main", "sweep", config, *flags]
    script = f"{limit}exec {shlex.join([*words, f'--workdir={workdir}'])}"
    return subprocess.Popen(
        ["bash", "-c", script],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_full_disk_and_a_replaced_directory(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    """A limit on the size of files stands for the full disk."""
    workdir, long = tmp_path / "sweep", {"train.steps": 6000, "eval.points": 2000}
    process = launch(tiny, workdir, **long)
    for _ in range(600):
        if len(list(workdir.glob("checkpoints/*/*.npz"))) > 2:
            break
        time.sleep(0.05)
    workdir.rename(tmp_path / "elsewhere")
    # The sweep may just be writing, which makes the folder anew.
    with contextlib.suppress(OSError):
        workdir.write_text("somebody else's")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert len(err.splitlines()) == 1, err
    assert err.startswith("onset sweep: ")

    workdir = tmp_path / "other"
    process = launch(tiny, workdir, "ulimit -f 12; ")  # blocks of 1024 bytes
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    lines = [one for one in err.splitlines() if "compilation cache" not in one]
    assert len(lines) == 1, err
    line = lines[0]
    assert "File too large" in line
    assert str(workdir) in line


def test_tracebacks_of_threads_are_kept_off_the_screen() -> None:
    """One goes through each hook; the main thread's own two are printed."""
    script = """if True:
        import threading
        from sweeps.runtime.output import quiet_threads
        quiet_threads()
        def fail():
            class Fails:
                def __del__(self):
                    raise RuntimeError(threading.current_thread().name)
            Fails()
            raise RuntimeError(threading.current_thread().name)
        # As a thread of C++ would, and not one that Python itself watches over.
        threading.excepthook = lambda report: __import__("sys").excepthook(*report[:3])
        thread = threading.Thread(target=fail, name="library")
        thread.start()
        thread.join()
        fail()
    """
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stderr.count("RuntimeError: MainThread") == 2
    assert "library" not in done.stderr


def test_a_coordinator_that_nobody_runs_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = ["--distributed", "--processes=2", "--process=1"]
    flags += [f"--coordinator=127.0.0.1:{port}", f"--workdir={tmp_path}/sweep"]
    config = f"--config={ROOT}/configs/attention.py"
    done = subprocess.run(
        [sys.executable, "-c", QUICK_JOIN, "sweep", config, *flags],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "not all processes were connected" in line
    assert not (tmp_path / "sweep").exists()
