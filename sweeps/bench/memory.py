"""Peak memory of one program of the benchmark, in a process of its own.

What counts is resident memory above that after imports, with the experiment and the
start of all peers in memory. Linux keeps the peak of each address space (``VmHWM``),
and resets it when asked. ``ru_maxrss`` will not do there: a process starts with that of
the one that forked it. Elsewhere it is what there is, and includes the imports' peak.
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
    """Most megabytes that were resident, or why there are none.

    Attributes:
      whole: above what was there after imports, compilation and training.
      round: above what is there between two rounds, one round.
      failure: in one line; empty where it ran.
    """

    whole: float = math.nan
    round: float = math.nan
    failure: str = ""


def peak_memory(
    config: ConfigDict, planned: Placement, start: Start, name: str
) -> Peak:
    """Runs a program in a fresh process, which may take most of the free memory.

    Args:
      config: of the experiment.
      planned: placement of a sweep.
      start: of all peers.
      name: of the program.
    """
    # A fresh interpreter: a forked one would share JAX's threads and our memory.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(_measure, config, planned, start, name).result()
        except BrokenProcessPool:
            return Peak(failure="its process died, most likely out of memory")


def one_line(error: Exception) -> str:
    """The kind of an error and the first line of its message."""
    kind = type(error).__name__
    lines = str(error).strip().splitlines()
    return f"{kind}: {lines[0][:120]}" if lines else kind


def _measure(config: ConfigDict, planned: Placement, start: Start, name: str) -> Peak:
    claim_cores()
    programs = list_contestants(build_timed(config), planned)
    (program,) = (one for one in programs if one.name == name)
    try:
        program.load()
        _bound_memory()
        before = _reset_peak()
        trainer = program.build(start)
        trainer.train()
        whole = _peak() - before
        _return_freed()
        between = _reset_peak()
        trainer.train()
        more = _peak() - between if RESET.exists() else math.nan
        return Peak(whole / 1e6, more / 1e6)
    # Whatever a program or a library under it raises is a row, not an end.
    except Exception as error:
        return Peak(failure=one_line(error))


def _return_freed() -> None:
    """Gives back what the compiler freed, which a round would use again (glibc)."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _bound_memory() -> None:
    """Lets an allocation fail in this process before the machine runs out."""
    free = _kilobytes(MEMORY, "MemAvailable")
    if free:
        used = _kilobytes(STATUS, "VmData") or 0
        most = int((used + SHARE * free) * 1024)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _reset_peak() -> int:
    """Sets the peak to what is resident now where that can be done; bytes."""
    with contextlib.suppress(OSError):
        RESET.write_text("5")
    return (_kilobytes(STATUS, "VmRSS") or 0) * 1024 or _peak()


def _peak() -> int:
    """The most that was resident, bytes."""
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
