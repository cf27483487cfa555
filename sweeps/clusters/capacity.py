"""What a compiled program says of memory and time: the fit, and a roofline.

All plain arithmetic; `sweeps.clusters.plan` compiles.
"""

import dataclasses
from collections.abc import Callable

from sweeps.clusters.slices import Chip

NEAR = 0.02  # of the most members, where the search for them ends
FILLED = 0.995  # of the memory, aimed at: a program at the very end is often refused
PROBES = 10


@dataclasses.dataclass(frozen=True)
class Footprint:
    """A compiled program, as its compiler describes it, on one device.

    Attributes:
      members: on the device.
      memory: arguments, temporaries and outputs, less what they share, bytes.
      flops: with every loop's body counted once.
      traffic: bytes read and written, likewise.
      seconds: to compile.
    """

    members: int
    memory: float
    flops: float
    traffic: float
    seconds: float


@dataclasses.dataclass(frozen=True)
class Overflow:
    """A program that the compiler refused for its memory.

    Attributes:
      available: bytes, where the compiler says how many there are.
    """

    available: float | None = None


def largest_fit(
    probe: Callable[[int], Footprint | Overflow], start: int, unit: int, memory: float
) -> Footprint | None:
    """Searches the most members on one device, compiling until one count is verified.

    Memory is nearly a straight line in the members: a line through the last two
    programs that fitted gives the next guess; an interval is kept around the answer,
    because layouts change with size and the line with them.

    Args:
      probe: compiles for a number of members.
      start: the first number, a multiple of the unit.
      unit: members come in multiples of it.
      memory: of the device, bytes; lowered to what the compiler says is available.

    Returns:
      A program that fits, within `NEAR` of the most that would unless `PROBES`
      compilations were not enough; None where one unit does not fit.
    """
    fitting: list[Footprint] = []
    least_refused: int | None = None
    guess = start
    for _ in range(PROBES):
        found = probe(guess)
        if isinstance(found, Footprint) and found.memory <= memory:
            fitting.append(found)
        else:
            least_refused = guess
            if isinstance(found, Overflow) and found.available is not None:
                memory = min(memory, found.available)
        following = _next_guess(fitting, least_refused, unit, memory)
        if following is None:
            break
        guess = following
    return fitting[-1] if fitting else None


def _next_guess(
    fitting: list[Footprint], least_refused: int | None, unit: int, memory: float
) -> int | None:
    """The number to compile next, a multiple of the unit; None where it is found."""
    if not fitting:
        assert least_refused is not None
        half = least_refused // 2 // unit * unit
        return half or None
    most = fitting[-1].members
    if len(fitting) == 1:
        first_step = 2 * most
        inside = least_refused is None or first_step < least_refused
        return first_step if inside else _middle(most, least_refused, unit)
    bound = line_bound(fitting[-2], fitting[-1], unit, FILLED * memory)
    if bound - most <= NEAR * most:
        return None
    # A line that was refused once is not trusted far from what was compiled.
    if least_refused is not None and bound >= min(least_refused, 2 * most):
        return _middle(most, least_refused, unit)
    return bound


def _middle(most: int, least_refused: int | None, unit: int) -> int | None:
    assert least_refused is not None
    middle = (most + least_refused) // 2 // unit * unit
    near = least_refused - most <= max(NEAR * most, unit)
    return None if near or middle <= most else middle


def line_bound(low: Footprint, high: Footprint, unit: int, memory: float) -> int:
    """Members at which a line through two programs reaches the memory."""
    slope = (high.memory - low.memory) / (high.members - low.members)
    if slope <= 0:  # not seen; a doubling is the next thing to try
        return 2 * high.members
    more = (memory - high.memory) / slope
    return high.members + int(more) // unit * unit


@dataclasses.dataclass(frozen=True)
class Work:
    """One training step of one member.

    Attributes:
      flops: of it.
      traffic: bytes its operations read and write.
    """

    flops: float
    traffic: float

    def seconds(self, chip: Chip) -> float:
        """A roofline: arithmetic and memory at their peaks, perfectly overlapped."""
        return max(self.flops / chip.flops, self.traffic / chip.bandwidth)

    def bound(self, chip: Chip) -> str:
        """What limits that time."""
        arithmetic = self.flops / chip.flops >= self.traffic / chip.bandwidth
        return "compute" if arithmetic else "memory"


@dataclasses.dataclass(frozen=True)
class Loops:
    """How often the router's own loops run, which the compiler does not count.

    Attributes:
      flops: with every pass of the loops inside a step, over one pass each.
      traffic: likewise.
    """

    flops: float
    traffic: float


def work_of_step(step: Footprint, loops: Loops) -> Work:
    """One member's step, from a program of one step of some members.

    Args:
      step: compiled by itself; its own loops counted once.
      loops: how often they run.
    """
    return Work(
        flops=step.flops * loops.flops / step.members,
        traffic=step.traffic * loops.traffic / step.members,
    )
