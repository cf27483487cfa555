"""Peak memory of one contestant of the benchmark, measured in a process of its own.

The peak is the resident memory above the level after imports, at which the experiment
and the common starting point are already in memory. Linux records the peak of each
address space (``VmHWM``) and resets it on request. ``ru_maxrss`` cannot be used on
Linux, because a process starts with the value of the process that forked it. On other
systems nothing else is available, and the result includes the peak of the imports.
"""

import contextlib
import ctypes
import dataclasses
import gc
import math
import multiprocessing
import resource
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from ml_collections import ConfigDict

from sweeps.bench.contestants import Start, build_timed, list_contestants
from sweeps.engine.vmap_width import SHARE
from sweeps.runtime.placement import Placement, claim_cores

STATUS, MEMORY = Path("/proc/self/status"), Path("/proc/meminfo")
RESET = Path("/proc/self/clear_refs")


@dataclasses.dataclass(frozen=True)
class Peak:
    """Peak resident memory in megabytes, or why there is none.

    Attributes:
      whole: Peak of compilation and training, above the level after imports.
      round: Peak of one round of training, above the level between two rounds.
      failure: Why the contestant failed, in one line; empty if it ran.
    """

    whole: float = math.nan
    round: float = math.nan
    failure: str = ""


def peak_memory(
    config: ConfigDict, planned: Placement, start: Start, name: str
) -> Peak:
    """Runs a contestant in a new process, which may take most of the free memory.

    Args:
      config: Config of the experiment.
      planned: Placement that a sweep would have.
      start: Common starting point of all contestants.
      name: Name of the contestant.
    """
    # A new interpreter: a forked one would share JAX's threads and our memory.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(_measure, config, planned, start, name).result()
        except BrokenProcessPool:
            return Peak(failure="its process died, probably because memory ran out")


def one_line(error: Exception) -> str:
    """The kind of an error and the first line of its message."""
    kind = type(error).__name__
    lines = str(error).strip().splitlines()
    return f"{kind}: {lines[0][:120]}" if lines else kind


def _measure(config: ConfigDict, planned: Placement, start: Start, name: str) -> Peak:
    claim_cores()
    contestants = list_contestants(build_timed(config), planned)
    (contestant,) = (one for one in contestants if one.name == name)
    try:
        contestant.load()
        _bound_memory()
        before = _reset_peak()
        trainer = contestant.build(start)
        trainer.train()
        whole = _peak() - before
        _return_freed()
        between = _reset_peak()
        trainer.train()
        more = _peak() - between if RESET.exists() else math.nan
        return Peak(whole / 1e6, more / 1e6)
    # Whatever a contestant or its library raises becomes a row of the table.
    except Exception as error:
        return Peak(failure=one_line(error))


def _return_freed() -> None:
    """Returns memory freed by the compiler, which a round would reuse (glibc)."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _bound_memory() -> None:
    """Makes allocations fail in this process before the machine runs out of memory."""
    free = _kilobytes(MEMORY, "MemAvailable")
    if free:
        used = _kilobytes(STATUS, "VmData") or 0
        most = int((used + SHARE * free) * 1024)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _reset_peak() -> int:
    """Resets the peak to the present resident memory if possible; returns bytes."""
    with contextlib.suppress(OSError):
        RESET.write_text("5")
    return (_kilobytes(STATUS, "VmRSS") or 0) * 1024 or _peak()


def _peak() -> int:
    """Peak resident memory in bytes."""
    known = _kilobytes(STATUS, "VmHWM")
    if known:
        return known * 1024
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def _kilobytes(path: Path, name: str) -> int | None:
    with contextlib.suppress(OSError):
        for line in path.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
    return None
