"""How many members a device computes at once: a few widths are timed, the fastest wins.

On a CPU the width is 1 and nothing is timed. Wider batches were not faster there for
any router tried (docs/performance.md): one member's matrices already fill a core, and
those of several members do not fit its cache.
"""

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np

from sweeps.design.experiment import Experiment
from sweeps.engine.inputs import data_streams, make_members, step_number
from sweeps.engine.programs import make_loop
from sweeps.runtime.placement import Placement, make_mesh, place, replicate
from sweeps.runtime.processes import slowest
from train.step import TrainState

FACTOR = 4
"""Factor between one width that is tried and the next."""
STEPS, ROUNDS = 4, 3
"""Steps in a timed chunk, and chunks of which the fastest counts."""
SHARE = 0.8
"""Share of a device's memory that a program may take."""
WORTH = 1.03
"""Factor by which a wider batch must be faster to be worth it.

The search stops after two consecutive widths that are not."""


@dataclasses.dataclass(frozen=True)
class Timing:
    """The time that one width took.

    Attributes:
      width: Number of members that each device computes at once.
      seconds: Time of one step of one member on one device.
    """

    width: int
    seconds: float


def with_width(
    experiment: Experiment, placement: Placement, known: dict[str, int] | None = None
) -> tuple[Placement, str]:
    """Chooses the width of a placement.

    Args:
      experiment: The experiment whose training is timed.
      placement: A placement of one member at once.
      known: Placement that the sweep had before it was stopped, as plain values; its
        width is kept where all else is the same, so that the sweep continues to the
        same bits.

    Returns:
      The placement with its width, and in one line why it has that width.
    """
    if known and known == dataclasses.asdict(placement) | {"width": known["width"]}:
        return Placement(**known), f"{known['width']} at once on each, as before"
    width, why = choose_width(experiment, placement)
    return dataclasses.replace(placement, width=width), why


def choose_width(experiment: Experiment, placement: Placement) -> tuple[int, str]:
    """The number of members that each device computes at once, and why, in one line.

    Args:
      experiment: The experiment whose training is timed.
      placement: A placement of one member at once.
    """
    if jax.default_backend() == "cpu":
        return 1, "one member at a time on each core, which is fastest on a CPU"
    members = -(-experiment.wave_members // placement.groups)

    def attempt(width: int) -> Timing | None:
        return try_width(experiment, dataclasses.replace(placement, width=width))

    found = fastest(widths(members), attempt)
    if not found:
        return 1, "one member at a time, the most that fits"
    best = min(found, key=lambda one: one.seconds)
    told = ", ".join(f"{one.width}: {1e6 * one.seconds:.0f} µs" for one in found)
    return best.width, f"{best.width} members at once, fastest of those timed ({told})"


def widths(members: int) -> Iterator[int]:
    """The widths that are tried: 1, 4, 16, ... and all members of a device."""
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
      tried: Widths in increasing order.
      attempt: Times a width; returns None where it does not fit.
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
    """Compiles and times a few real steps of as many members as run at once.

    Returns:
      None where the program takes more of a device's memory than it may.
    """
    spec = dataclasses.replace(experiment.spec, chunk=STEPS)
    few = dataclasses.replace(experiment, spec=spec, points=1)
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
    """Compiles the program that trains members for one chunk, without the others.

    Args:
      experiment: The experiment whose chunk is compiled.
      placement: Layout of the members.
      members: Least number of members; it is rounded up to fill the placement evenly.

    Returns:
      ``chunk``, its first states, which are to be donated, and its other arguments.
    """
    mesh = make_mesh(placement)
    loop = make_loop(experiment, placement, mesh)
    rows = np.arange(placement.padded(members)) % experiment.grid.members
    ready = place(mesh, make_members(experiment, experiment.grid, rows))
    task = replicate(mesh, experiment.task)
    streams = replicate(mesh, data_streams(experiment))
    states = jax.jit(loop.init)(ready, task)
    arguments = ready, task, streams, step_number(mesh, 0)
    chunk = jax.jit(loop.chunk, donate_argnums=0).lower(states, *arguments).compile()
    return chunk, states, arguments


def _device_bytes() -> float:
    """Memory of one device in bytes; infinite where the device does not say."""
    stats = jax.local_devices()[0].memory_stats() or {}
    return float(stats.get("bytes_limit", np.inf))
