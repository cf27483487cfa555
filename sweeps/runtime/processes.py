"""One sweep in several processes, on JAX's own distributed runtime.

Every process runs the same program on the same numbers; arrays of members live on the
devices of all. Files, progress and tracking are the first process's.
"""

import contextlib
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from sweeps.errors import BadInput

TIMEOUT_SECONDS = 45
"""Without a sign of life for so long a process counts as dead and the others end."""


def join(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
) -> None:
    """Connects this process to the others, before JAX's first use.

    Args:
      coordinator: ``HOST:PORT`` of the first process; None under Slurm, Open MPI and
        on TPU machines, where JAX finds all three itself.
      processes: how many.
      process: number of this one, from 0.

    Raises:
      BadInput: nothing was given and nothing found, or they do not answer.
    """
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process,
            heartbeat_timeout_seconds=TIMEOUT_SECONDS,
        )
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(
            f"--distributed: {reason}; outside Slurm, Open MPI and TPU machines give "
            "--coordinator=HOST:PORT --processes=N --process=I"
        ) from None


def is_first() -> bool:
    """Whether this process writes."""
    return jax.process_index() == 0


def barrier(name: str) -> None:
    """Waits for all processes."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def any_process(flag: bool) -> bool:
    """Whether the flag is set in any process; all call it together."""
    if jax.process_count() == 1:
        return flag
    return bool(multihost_utils.process_allgather(np.asarray(flag)).any())


def slowest(seconds: float) -> float:
    """The longest time of all processes; all call it together."""
    if jax.process_count() == 1:
        return seconds
    return float(multihost_utils.process_allgather(np.asarray(seconds)).max())


def to_host(tree: Any) -> Any:
    """Arrays of all devices of all processes as NumPy arrays, in every process."""
    if jax.process_count() > 1:
        return multihost_utils.process_allgather(tree, tiled=True)
    return jax.tree.map(np.asarray, tree)


def leave() -> None:
    """Disconnects, so that the others do not wait for a heartbeat."""
    if jax.process_count() > 1:
        with contextlib.suppress(RuntimeError):
            jax.distributed.shutdown()
