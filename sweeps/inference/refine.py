"""Which values of the swept knob narrow the interval of its critical value next.

The interval runs from the nearest value below the crossing at which the seeds decide
to the nearest one above (`sweeps.inference.onset`). Values tried strictly inside it are those at
which the seeds do *not* decide, and another value between two of these would decide no
more: this stretch is the *floor*, which only more seeds lower. What a new value can
shrink is the gap at either end of the interval; where nothing was tried inside, both
are one gap and the whole interval can shrink, by ``count + 1`` a round.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from sweeps.errors import BadInput
from sweeps.inference.likelihood import LEAST_UNITS
from sweeps.inference.onset import Onset

WORTH = 0.1
"""Least share of the interval's width that must be outside the floor to go on."""
LEAST_WIDTH = 1e-3
"""Narrower targets would ask for values that float32 does not tell apart."""


@dataclasses.dataclass(frozen=True)
class Refinement:
    """How far to refine.

    Attributes:
      rounds: at most; 0 for none.
      num: new ones in each round.
      width: ln(high / low) of the interval at which to stop.
    """

    rounds: int
    num: int
    width: float


def make_refinement(rounds: int, num: int, width: float, units: int) -> Refinement:
    """Checks the settings.

    Args:
      rounds: at most.
      num: new ones in each round.
      width: at which to stop.
      units: seeds x data seeds.

    Raises:
      BadInput: one line that names the setting, its value and what is accepted.
    """
    if rounds < 0:
        raise BadInput(f"sweep.refine.rounds={rounds}: at least 0 (no refinement)")
    if num < 1:
        raise BadInput(f"sweep.refine.num={num}: at least 1 a round")
    if not LEAST_WIDTH <= width < math.inf:
        raise BadInput(
            f"sweep.refine.width={width}: ln(high/low), finite and at least "
            f"{LEAST_WIDTH:g}"
        )
    if rounds and units < LEAST_UNITS:
        raise BadInput(
            f"sweep.refine.rounds={rounds}: needs {LEAST_UNITS} seeds or more "
            f"(sweep.seeds x sweep.data_seeds={units}); fewer close no interval"
        )
    return Refinement(rounds, num, width)


Ends = tuple[float, float]


def closed(onset: Onset) -> Ends | None:
    """Both ends of the interval; None where one is open or missing."""
    if onset.low is None or onset.high is None:
        return None
    return onset.low, onset.high


def undecided_stretch(onset: Onset, values: np.ndarray) -> Ends | None:
    """The stretch of values inside a closed interval, which the seeds do not decide.

    Args:
      onset: estimated from outcomes at the values.
      values: all that were tried, increasing.

    Returns:
      Its ends, equal where one value lies inside; None where none does.
    """
    ends = closed(onset)
    inside = [] if ends is None else values[_inside(ends, values)]
    return (float(inside[0]), float(inside[-1])) if len(inside) else None


def stop_reason(onset: Onset, values: np.ndarray, target: float) -> str | None:
    """Why no further value is worth its training, or None.

    Args:
      onset: estimated from outcomes at the values.
      values: all that were tried, increasing.
      target: ln(high / low) that is narrow enough.

    Returns:
      ``"censored"`` (no crossing), ``"open"`` (an end that no value closes),
      ``"width"`` (narrow enough), ``"seeds"`` (all but `WORTH` of the interval is the
      floor) or None.
    """
    if onset.estimate is None:
        return "censored"
    ends = closed(onset)
    if ends is None:
        return "open"
    now = width(ends)
    if now <= target:
        return "width"
    stretch = undecided_stretch(onset, values)
    least = width(stretch) if stretch else 0.0
    return "seeds" if now - least <= WORTH * now else None


def next_values(onset: Onset, values: np.ndarray, count: int) -> tuple[float, ...]:
    """New values where they can narrow the interval.

    Args:
      onset: estimated from outcomes at the values.
      values: all that were tried, increasing; a leading 0 is left out.
      count: of new values.

    Returns:
      ``count`` values, increasing, none of them tried before, evenly spaced in the
      logarithm within the gap or the two gaps that hold the interval's ends; two gaps
      share them so that the widest of what is left is least. Empty without a closed
      interval.
    """
    ends = closed(onset)
    if ends is None:
        return ()
    gaps = _end_gaps(ends, values[values > 0])
    shares = [0] * len(gaps)
    for _ in range(count):
        left = [
            width(gap) / (share + 1) for gap, share in zip(gaps, shares, strict=True)
        ]
        shares[int(np.argmax(left))] += 1
    return tuple(
        value
        for gap, share in zip(gaps, shares, strict=True)
        for value in _between(*gap, share)
    )


def width(ends: Ends) -> float:
    """Logarithm of the ratio of an interval's ends."""
    return math.log(ends[1] / ends[0])


def _inside(ends: Ends, values: np.ndarray) -> np.ndarray:
    # The ends went through a logarithm and back, so they are compared with slack.
    slack = 1 + 1e-9
    return np.flatnonzero((values > ends[0] * slack) & (values * slack < ends[1]))


def _end_gaps(ends: Ends, values: np.ndarray) -> list[Ends]:
    """The gaps of the values that hold the ends of an interval: one, or two."""
    inside = _inside(ends, values)
    if len(inside):
        gaps = [int(inside[0]), int(inside[-1]) + 1]
    else:
        gaps = [int(np.searchsorted(values, math.sqrt(ends[0] * ends[1])))]
    return [(float(values[i - 1]), float(values[i])) for i in gaps]


def _between(low: float, high: float, count: int) -> list[float]:
    """Values strictly between two, in as few digits as keep them evenly spaced."""
    step = math.log(high / low) / (count + 1)
    # Rounding moves a value by at most 1/20 of a step, and four digits are readable.
    digits = max(4, 2 + math.ceil(-math.log10(step)))
    exact = np.geomspace(low, high, count + 2)[1:-1]
    return [float(f"{value:.{digits}g}") for value in exact]


@dataclasses.dataclass(frozen=True)
class Round:
    """What was known after a round; round 0 is the first grid.

    Attributes:
      number: 0, 1, ...
      values: trained in it.
      members: trained in it.
      low: end of the interval afterwards, None where open.
      high: likewise.
    """

    number: int
    values: tuple[float, ...]
    members: int
    low: float | None
    high: float | None


@dataclasses.dataclass(frozen=True)
class History:
    """A refinement that has ended.

    Attributes:
      rounds: with the first grid in front.
      stopped: as `stop_reason`, or ``"rounds"`` where all were spent first.
      floor: stretch of the final interval that the seeds do not decide, or None.
    """

    rounds: tuple[Round, ...]
    stopped: str
    floor: tuple[float, float] | None

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "rounds": [
                {
                    "round": one.number,
                    "values": list(one.values),
                    "members": one.members,
                    "low": one.low,
                    "high": one.high,
                }
                for one in self.rounds
            ],
            "stopped": self.stopped,
            "floor": list(self.floor) if self.floor else None,
        }
