"""Tries hostile command lines: each must be answered by one line, or accepted.

    python -m tests.fuzz --cases=1000 --seed=0 [--accepted]

A case is *refused* if the command ends with exit code 2 and one line on stderr, within
ten seconds, and leaves nothing behind. It is *accepted* if the command goes on to what
takes long (compiling, timing, simulating), which is cut off there. Anything else is a
failure: a traceback, a hang, another exit code, a file that was left or changed, or
acceptance of a number that the table of ranges excludes. Some of the refused cases run
again as real processes. The machine is taken to have little memory, so that no case
that needs more is tried.
"""

import argparse
import collections
import contextlib
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from sweeps.main import main
from sweeps.storage.lock import LOCK
from tests import ROOT
from tests.fuzz_cases import KINDS as GIVEN
from tests.fuzz_cases import Case
from tests.fuzz_records import damaged_record

KINDS = GIVEN | {"a damaged record": (damaged_record, 12)}
"""Makers of cases, with their weights."""

PATIENCE = 10.0
"""Seconds within which a case must be answered."""
MEMORY = 300e6
"""Bytes of memory that the machine is taken to have."""
LONG = (
    "sweeps.pipeline.prepare",
    "sweeps.commands.studies.coverage.run_study",
    "sweeps.commands.studies.refinement.run_study",
    "sweeps.commands.bench.bench_sweep",
    "sweeps.commands.bench.bench_mixing",
    "sweeps.commands.check.examine",
    "sweeps.commands.sweep.join",
)
"""Functions that are reached only by what was accepted."""


class Accepted(BaseException):
    """Ends a command that has accepted its input."""


class Hang(BaseException):
    """Ends a command that takes too long."""


class Answer(NamedTuple):
    """How a case was answered.

    Attributes:
      verdict: ``refused``, ``accepted``, or what is wrong.
      said: What was printed on stderr.
      seconds: Time that it took.
    """

    verdict: str
    said: str
    seconds: float

    @property
    def failed(self) -> bool:
        """Whether something is wrong."""
        return self.verdict not in ("refused", "accepted")


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Every path under a folder with its kind and size; locks stay where they are."""
    found = {}
    for path in folder.rglob("*"):
        if path.name == LOCK:
            continue
        status = path.lstat()
        found[str(path)] = status.st_mode, status.st_size * path.is_file()
    return found


@contextlib.contextmanager
def cut_short() -> Iterator[None]:
    """Ends commands where the work begins, and tells them of little memory."""
    with contextlib.ExitStack() as stack:
        for name in LONG:
            stack.enter_context(mock.patch(name, side_effect=Accepted))
        for module in ("train.tasks.memory", "sweeps.design.memory"):
            place = f"{module}.memory_bytes"
            stack.enter_context(mock.patch(place, return_value=MEMORY))
        yield


def judge(code: int | None, said: str, out: str, case: Case) -> str:
    """The verdict on an exit code, None where the work was reached, and on stderr."""
    if "Traceback" in said + out:
        return "a traceback"
    if code in (None, 0):
        return "accepted, but out of range" if case.refused else "accepted"
    if code != 2:
        return f"exit code {code}"
    if not case.arguments:
        return "refused"
    lines = said.splitlines()
    if len(lines) != 1 or not said.startswith("onset"):
        return f"{len(lines)} lines"
    try:
        said.encode()
    except UnicodeEncodeError:
        return "not UTF-8"
    return "refused" if len(said) < 1000 else f"a line of {len(said)} characters"


def answer(case: Case, folder: Path) -> Answer:
    """Runs a case inside this process."""
    before = contents(folder)
    out, err = io.StringIO(), io.StringIO()

    def ring(*_: Any) -> None:
        raise Hang

    old = signal.signal(signal.SIGALRM, ring)
    start, code, verdict = time.monotonic(), None, ""
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        with (
            contextlib.chdir(folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = main(case.arguments)
    except Accepted:
        pass
    except Hang:
        verdict = "a hang"
    except BaseException as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        verdict = f"{type(error).__name__} ({at.filename}:{at.lineno}): {error}"[:300]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    seconds = time.monotonic() - start
    said = err.getvalue()
    verdict = verdict or judge(code, said, out.getvalue(), case)
    if verdict == "refused" and contents(folder) != before:
        new = sorted(set(contents(folder)) - set(before))
        verdict = f"left behind: {', '.join(new) or 'a changed file'}"
    if seconds > PATIENCE:
        verdict = f"{seconds:.0f} s"
    return Answer(verdict, said, seconds)


def answer_for_real(case: Case, folder: Path) -> Answer:
    """Runs a case that is refused as a process of its own."""
    before = contents(folder)
    command = [os.fsencode(one) for one in (sys.executable, "-m", "sweeps.main")]
    command += [one.encode(errors="surrogateescape") for one in case.arguments]
    paths = os.environ | {"PYTHONPATH": str(ROOT)}
    start = time.monotonic()
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            cwd=folder,
            env=paths,
            timeout=3 * PATIENCE,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return Answer("a hang", "", 3 * PATIENCE)
    seconds = time.monotonic() - start
    said = done.stderr.decode(errors="surrogateescape")
    verdict = judge(done.returncode, said, done.stdout.decode(errors="replace"), case)
    if verdict == "accepted":
        verdict = "accepted as a process"
    if verdict == "refused" and contents(folder) != before:
        verdict = "left behind"
    if seconds > PATIENCE:
        verdict = f"{seconds:.0f} s"
    return Answer(verdict, said, seconds)


def runnable(case: Case) -> bool:
    """Whether a process can get these arguments."""
    return not any("\0" in one or len(one) > 100_000 for one in case.arguments)


def fuzz(
    cases: int, seed: int, real: float = 0.02
) -> Iterator[tuple[str, Case, Answer]]:
    """Makes cases and runs them.

    Args:
      cases: Number of cases.
      seed: Case i depends on the seed and on i alone.
      real: Share of the refused cases that run again as real processes.
    """
    weights = [share for _, share in KINDS.values()]
    with cut_short():
        for index in range(cases):
            draw = random.Random(f"{seed} {index}")
            (kind,) = draw.choices(list(KINDS), weights)
            folder = Path(tempfile.mkdtemp(prefix="onset-fuzz-"))
            try:
                case = KINDS[kind][0](draw, folder)
                found = answer(case, folder)
                yield kind, case, found
                again = found.verdict == "refused" and draw.random() < real
                if again and runnable(case):
                    yield "real processes", case, answer_for_real(case, folder)
            finally:
                shutil.rmtree(folder, ignore_errors=True)


def report(found: list[tuple[str, Case, Answer]]) -> str:
    """The table of kinds, as Markdown."""
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(
        collections.Counter
    )
    slowest: dict[str, float] = collections.defaultdict(float)
    for kind, _, one in found:
        for row in (kind, "all"):
            counts[row]["failed" if one.failed else one.verdict] += 1
            slowest[row] = max(slowest[row], one.seconds)
    lines = ["| kind | cases | refused | accepted | failures | slowest |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for row in [*KINDS, "real processes", "all"]:
        count = counts[row]
        cells = [row, count.total(), count["refused"], count["accepted"]]
        cells += [count["failed"], f"{slowest[row]:.1f} s"]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def run() -> int:
    """Runs the cases of a command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--accepted", action="store_true", help="list what is accepted")
    given = parser.parse_args()
    found = []
    for one in fuzz(given.cases, given.seed):
        found.append(one)
        kind, case, answered = one
        if answered.failed or (given.accepted and answered.verdict == "accepted"):
            shown = " ".join(ascii(word)[1:-1][:120] for word in case.arguments)
            said = ascii(answered.said)[1:-1][:300]
            print(f"{kind}: {answered.verdict}\n    {shown}\n    {said}", flush=True)
    print(report(found))
    return int(any(answered.failed for _, _, answered in found))


if __name__ == "__main__":
    sys.exit(run())
