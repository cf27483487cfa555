"""Runs one sweep in several processes, on JAX's own distributed runtime.

Every process runs the same program on the same numbers. Arrays of members are spread
over the devices of all processes. Files, progress and tracking are left to the first
process.
"""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from sweeps.errors import BadInput
from sweeps.runtime.interrupts import INTERRUPTS

TIMEOUT_SECONDS = 45
"""Seconds without a heartbeat after which a process counts as dead."""
JOIN_SECONDS = 50
"""Seconds that the processes have to find each other."""


def join(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
) -> None:
    """Connects this process to the others, before JAX's first use.

    Args:
      coordinator: ``HOST:PORT`` of the first process. Under Slurm, under Open MPI and
        on TPU machines all three arguments may be None, and JAX finds them itself.
      processes: Number of processes.
      process: Number of this process, from 0.

    Raises:
      BadInput: the arguments were neither given nor found, or the other processes do
        not answer.
    """
    try:
        with _within(JOIN_SECONDS, coordinator):
            jax.distributed.initialize(
                coordinator,
                processes,
                process,
                initialization_timeout=2 * JOIN_SECONDS,
                heartbeat_timeout_seconds=TIMEOUT_SECONDS,
            )
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(
            f"--distributed: {reason}; except under Slurm, under Open MPI and on TPU "
            "machines, give --coordinator=HOST:PORT --processes=N --process=I"
        ) from None
    INTERRUPTS.claim()  # JAX has a handler of its own for SIGTERM


@contextlib.contextmanager
def _within(seconds: float, coordinator: str | None) -> Iterator[None]:
    """Ends this process with one line if joining takes longer.

    JAX would abort the process with a stack trace, and cannot be interrupted.
    """
    line = (
        f"onset sweep: --distributed: not all processes were connected within "
        f"{seconds:.0f} s through {coordinator or 'the coordinator'}; check that all "
        "of them run and can reach it"
    )
    timer = threading.Timer(seconds, INTERRUPTS.end, (1, line))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def is_first() -> bool:
    """Whether this is the first process, which alone writes files."""
    return jax.process_index() == 0


def barrier(name: str) -> None:
    """Waits until all processes have reached the barrier of this name."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def any_process(flag: bool) -> bool:
    """Whether the flag is set in any process; all processes must call this together."""
    if jax.process_count() == 1:
        return flag
    return bool(multihost_utils.process_allgather(np.asarray(flag)).any())


@contextlib.contextmanager
def refused_together() -> Iterator[None]:
    """Ends a block with an exception in every process if it does in one of them.

    Otherwise the others would wait for that one. All processes enter it together.

    Raises:
      BadInput: a ValueError was raised in the block, here or in another process.
      OSError: it was raised in the block, here.
    """
    problem = None
    try:
        yield
    except (ValueError, OSError) as error:
        problem = error
    if any_process(problem is not None):
        if isinstance(problem, OSError):
            raise problem
        said = str(problem or "another process cannot run; see its message")
        raise BadInput(said) from problem


def slowest(seconds: float) -> float:
    """The longest time of all processes; all processes must call this together."""
    if jax.process_count() == 1:
        return seconds
    return float(multihost_utils.process_allgather(np.asarray(seconds)).max())


def to_host(tree: Any) -> Any:
    """Gathers arrays from the devices of all processes, as NumPy arrays in each."""
    if jax.process_count() > 1:
        return multihost_utils.process_allgather(tree, tiled=True)
    return jax.tree.map(np.asarray, tree)


def leave() -> None:
    """Disconnects this process, so that the others do not wait for its heartbeat."""
    if jax.process_count() > 1:
        with contextlib.suppress(RuntimeError):
            jax.distributed.shutdown()
