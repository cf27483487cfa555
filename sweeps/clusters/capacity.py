"""How many members fit in memory, and a roofline of the time, from compiler reports.

This module contains arithmetic only; `sweeps.clusters.plan` compiles.
"""

import dataclasses
from collections.abc import Callable

from sweeps.clusters.slices import Chip

NEAR = 0.02
"""Relative uncertainty of the largest number of members at which the search stops."""
FILLED = 0.995
"""Share of the memory that is aimed at; programs that fill it are often refused."""
PROBES = 10
"""Maximum number of compilations in one search."""


@dataclasses.dataclass(frozen=True)
class Footprint:
    """What one device needs for a compiled program, according to the compiler.

    Attributes:
      members: Number of members on the device.
      memory: Bytes of arguments, temporaries and outputs, minus what they share.
      flops: Number of FLOPs, with the body of each loop counted once.
      traffic: Bytes read and written, with the body of each loop counted once.
      seconds: Time of the compilation, in seconds.
    """

    members: int
    memory: float
    flops: float
    traffic: float
    seconds: float


@dataclasses.dataclass(frozen=True)
class Overflow:
    """A program that the compiler refused because it needs too much memory.

    Attributes:
      available: Bytes that are available; None if the compiler does not say.
    """

    available: float | None = None


def largest_fit(
    probe: Callable[[int], Footprint | Overflow], start: int, unit: int, memory: float
) -> Footprint | None:
    """Searches the largest number of members on one device by compiling for it.

    Memory is nearly linear in the number of members, so a line through the last two
    programs that fitted gives the next guess. The search also keeps an interval around
    the answer, because layouts, and with them the line, change with the size.

    Args:
      probe: Function that compiles for a number of members.
      start: First number to try, a multiple of the unit.
      unit: Numbers of members are multiples of this.
      memory: Memory of the device in bytes; lowered to what the compiler reports as
        available.

    Returns:
      A program that fits. Its number of members is within `NEAR` of the largest one,
      unless `PROBES` compilations were not enough. None if one unit does not fit.
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
    """Number of members to compile for next; None if the search is complete."""
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
    # After a refusal, the line is not trusted far from what was compiled.
    if least_refused is not None and bound >= min(least_refused, 2 * most):
        return _middle(most, least_refused, unit)
    return bound


def _middle(most: int, least_refused: int | None, unit: int) -> int | None:
    assert least_refused is not None
    middle = (most + least_refused) // 2 // unit * unit
    near = least_refused - most <= max(NEAR * most, unit)
    return None if near or middle <= most else middle


def line_bound(low: Footprint, high: Footprint, unit: int, memory: float) -> int:
    """Number of members at which a line through two programs reaches the memory."""
    slope = (high.memory - low.memory) / (high.members - low.members)
    if slope <= 0:  # has not been observed; try twice as many
        return 2 * high.members
    more = (memory - high.memory) / slope
    return high.members + int(more) // unit * unit


@dataclasses.dataclass(frozen=True)
class Work:
    """Work of one training step of one member.

    Attributes:
      flops: Number of FLOPs.
      traffic: Bytes that its operations read and write.
    """

    flops: float
    traffic: float

    def seconds(self, chip: Chip) -> float:
        """Roofline estimate: compute and memory at their peaks, fully overlapped."""
        return max(self.flops / chip.flops, self.traffic / chip.bandwidth)

    def bound(self, chip: Chip) -> str:
        """What limits the time: ``"compute"`` or ``"memory"``."""
        arithmetic = self.flops / chip.flops >= self.traffic / chip.bandwidth
        return "compute" if arithmetic else "memory"


@dataclasses.dataclass(frozen=True)
class Loops:
    """Correction for the router's own loops, whose passes the compiler does not count.

    Attributes:
      flops: Ratio of a step's FLOPs with all passes to those with one pass per loop.
      traffic: The same ratio of the bytes read and written.
    """

    flops: float
    traffic: float


def work_of_step(step: Footprint, loops: Loops) -> Work:
    """Work of one member's step, from a compiled step of several members.

    Args:
      step: Step compiled by itself; loops inside it are counted once.
      loops: Correction for the passes of these loops.
    """
    return Work(
        flops=step.flops * loops.flops / step.members,
        traffic=step.traffic * loops.traffic / step.members,
    )
