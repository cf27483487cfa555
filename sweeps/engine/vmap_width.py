"""How many members a device computes at once: the fastest of a few that fit, timed.

On a CPU it is 1 without timing. Wider batches were not faster there for any router
tried (docs/performance.md): one member's matrices already fill a core, and several do
not fit its cache.
"""

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np

from sweeps.design.experiment import Experiment
from sweeps.engine.programs import data_streams, first_step, make_loop, make_members
from sweeps.runtime.placement import Placement, make_mesh, place, replicate
from sweeps.runtime.processes import slowest
from train.step import TrainState

FACTOR = 4
"""Between widths that are tried."""
STEPS, ROUNDS = 4, 3
SHARE = 0.8
"""Of a device's memory that a program may take."""
WORTH = 1.03
"""A wider batch must be faster by this, and twice in a row it was not, ends it."""


@dataclasses.dataclass(frozen=True)
class Timing:
    """One width, tried.

    Attributes:
      width: members at once on each device.
      seconds: of one step of one member, on one device.
    """

    width: int
    seconds: float


def plan_width(experiment: Experiment, placement: Placement) -> tuple[int, str]:
    """Members at once on each device, and why, in one line.

    Args:
      experiment: whose training is timed.
      placement: of one member at once.
    """
    if jax.default_backend() == "cpu":
        return 1, "one member at a time on each core, which is fastest on a CPU"
    members = -(-experiment.turn * experiment.units // placement.groups)

    def attempt(width: int) -> Timing | None:
        return try_width(experiment, dataclasses.replace(placement, width=width))

    found = fastest(widths(members), attempt)
    if not found:
        return 1, "one member at a time, the most that fits"
    best = min(found, key=lambda one: one.seconds)
    told = ", ".join(f"{one.width}: {1e6 * one.seconds:.0f} µs" for one in found)
    return best.width, f"{best.width} members at once, fastest of those timed ({told})"


def widths(members: int) -> Iterator[int]:
    """1, 4, 16, ... and all of a device's members."""
    width = 1
    while width < members:
        yield width
        width *= FACTOR
    yield members


def fastest(
    tried: Iterable[int], attempt: Callable[[int], Timing | None]
) -> list[Timing]:
    """Times widths while they fit and are worth it.

    Args:
      tried: increasing.
      attempt: times a width; None where it does not fit.
    """
    found: list[Timing] = []
    worse = 0
    for width in tried:
        timing = attempt(width)
        if timing is None:
            break
        best = min((one.seconds for one in found), default=np.inf)
        found.append(timing)
        worse = 0 if timing.seconds * WORTH < best else worse + 1
        if worse == 2:
            break
    return found


def try_width(experiment: Experiment, placement: Placement) -> Timing | None:
    """Compiles and times a few real steps of as many members as fit one turn.

    Returns:
      None where the program takes more of a device's memory than it may.
    """
    few = dataclasses.replace(experiment, steps=STEPS, points=1)
    chunk, states, arguments = compile_chunk(few, placement)
    memory: Any = chunk.memory_analysis()
    need = memory.argument_size_in_bytes + memory.temp_size_in_bytes
    if need > SHARE * _device_bytes():
        return None
    seconds = np.inf
    for _ in range(ROUNDS):
        start = time.perf_counter()
        states, losses = chunk(states, *arguments)
        losses.block_until_ready()
        seconds = min(seconds, time.perf_counter() - start)
    width = placement.width
    return Timing(width, slowest(seconds) / (STEPS * width))


def compile_chunk(
    experiment: Experiment, placement: Placement, members: int = 1
) -> tuple[Any, TrainState, tuple[Any, ...]]:
    """The program that trains members for one chunk, alone, and what it is called with.

    Args:
      experiment: whose chunk it is.
      placement: of the members.
      members: at least so many, and as many as fill its devices and turns.

    Returns:
      ``chunk``, its first states, to be donated, and its other arguments.
    """
    mesh = make_mesh(placement)
    loop = make_loop(experiment, placement, mesh)
    rows = np.arange(placement.padded(members)) % experiment.grid.members
    ready = place(mesh, make_members(experiment, rows))
    task = replicate(mesh, experiment.task)
    streams = replicate(mesh, data_streams(experiment))
    states = jax.jit(loop.init)(ready, task)
    arguments = ready, task, streams, first_step(mesh, 0)
    chunk = jax.jit(loop.chunk, donate_argnums=0).lower(states, *arguments).compile()
    return chunk, states, arguments


def _device_bytes() -> float:
    """Memory of one device; without limit where it does not say."""
    stats = jax.local_devices()[0].memory_stats() or {}
    return float(stats.get("bytes_limit", np.inf))
