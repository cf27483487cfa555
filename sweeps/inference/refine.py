"""Chooses the values that narrow the interval of the critical value next.

The interval extends from the nearest value below the crossing at which the seeds decide
to the nearest one above (`sweeps.inference.onset`). At all values tried strictly inside
it, the seeds are *undecided*, and further values between two of these would not change
that. This stretch is the *floor* of the interval: only more seeds make it narrower. A
new value can only shrink the gaps that contain the two ends of the interval. If no
value was tried inside, both ends are in one gap, and each round can make the whole
interval narrower by a factor of ``count + 1``.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from sweeps.errors import BadInput
from sweeps.inference.likelihood import LEAST_UNITS
from sweeps.inference.onset import Onset

WORTH = 0.1
"""Share of the interval's width that must be outside the floor to continue."""
LEAST_WIDTH = 1e-3
"""Smallest target width; below it, float32 could not tell values apart."""


@dataclasses.dataclass(frozen=True)
class Refinement:
    """Settings of refinement (``sweep.refine``).

    Attributes:
      rounds: Maximum number of rounds; 0 means no refinement.
      num: Number of new values in each round.
      width: Width ln(high / low) of the interval at which refinement stops.
    """

    rounds: int
    num: int
    width: float


def make_refinement(rounds: int, num: int, width: float, units: int) -> Refinement:
    """Checks the settings of refinement.

    Args:
      rounds: Maximum number of rounds.
      num: Number of new values in each round.
      width: Width ln(high / low) at which to stop.
      units: Number of seeds times number of data seeds.

    Raises:
      BadInput: A setting is out of range.
    """
    if rounds < 0:
        raise BadInput(f"sweep.refine.rounds={rounds}: must be at least 0")
    if num < 1:
        raise BadInput(f"sweep.refine.num={num}: must be at least 1")
    if not LEAST_WIDTH <= width < math.inf:
        raise BadInput(
            f"sweep.refine.width={width}: must be finite and at least "
            f"{LEAST_WIDTH:g}; it is ln(high/low) of the interval"
        )
    if rounds and units < LEAST_UNITS:
        raise BadInput(
            f"sweep.refine.rounds={rounds}: needs at least {LEAST_UNITS} seeds "
            f"(sweep.seeds x sweep.data_seeds={units}), because the interval of fewer "
            "seeds is open"
        )
    return Refinement(rounds, num, width)


Ends = tuple[float, float]
"""Lower and upper end of a stretch of values."""


def closed(onset: Onset) -> Ends | None:
    """Both ends of the interval; None if an end is open or there is no interval."""
    if onset.low is None or onset.high is None:
        return None
    return onset.low, onset.high


def undecided_stretch(onset: Onset, values: np.ndarray) -> Ends | None:
    """The stretch of values inside a closed interval, at which seeds are undecided.

    Args:
      onset: Onset estimated from outcomes at the values.
      values: All values that were tried, increasing.

    Returns:
      The ends of the stretch, which are equal if one value lies inside; None if no
      value lies inside.
    """
    ends = closed(onset)
    inside = [] if ends is None else values[_inside(ends, values)]
    return (float(inside[0]), float(inside[-1])) if len(inside) else None


def stop_reason(onset: Onset, values: np.ndarray, target: float) -> str | None:
    """The reason why further values are not worth training, or None.

    Args:
      onset: Onset estimated from outcomes at the values.
      values: All values that were tried, increasing.
      target: Width ln(high / low) that is narrow enough.

    Returns:
      ``"censored"`` (no crossing), ``"open"`` (an end of the interval is open),
      ``"width"`` (narrow enough), ``"seeds"`` (at most the share `WORTH` of the
      interval is outside the floor) or None.
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
    """New values in the gaps where they can narrow the interval.

    Args:
      onset: Onset estimated from outcomes at the values.
      values: All values that were tried, increasing; a leading 0 is excluded.
      count: Number of new values.

    Returns:
      ``count`` increasing values that were not tried before. They are evenly spaced in
      the logarithm within the gap or the two gaps that contain the ends of the
      interval; two gaps share them so that the widest remaining gap is as narrow as
      possible. Empty if the interval is not closed.
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
    """Width of an interval: the logarithm of the ratio of its ends."""
    return math.log(ends[1] / ends[0])


def _inside(ends: Ends, values: np.ndarray) -> np.ndarray:
    # The ends were computed through a logarithm and back, so compare with a tolerance.
    slack = 1 + 1e-9
    return np.flatnonzero((values > ends[0] * slack) & (values * slack < ends[1]))


def _end_gaps(ends: Ends, values: np.ndarray) -> list[Ends]:
    """The one or two gaps between values that contain the ends of an interval."""
    inside = _inside(ends, values)
    if len(inside):
        gaps = [int(inside[0]), int(inside[-1]) + 1]
    else:
        gaps = [int(np.searchsorted(values, math.sqrt(ends[0] * ends[1])))]
    return [(float(values[i - 1]), float(values[i])) for i in gaps]


def _between(low: float, high: float, count: int) -> list[float]:
    """Values strictly between two, rounded to few digits but still evenly spaced."""
    step = math.log(high / low) / (count + 1)
    # Enough digits that rounding moves a value by at most 1/20 of a step.
    digits = max(4, 2 + math.ceil(-math.log10(step)))
    exact = np.geomspace(low, high, count + 2)[1:-1]
    return [float(f"{value:.{digits}g}") for value in exact]


@dataclasses.dataclass(frozen=True)
class Round:
    """One round of refinement and the interval after it; round 0 is the first grid.

    Attributes:
      number: Number of the round: 0, 1, ...
      values: Values that were trained in this round.
      members: Number of members that were trained in this round.
      low: Lower end of the interval after this round; None if open.
      high: Upper end, likewise.
    """

    number: int
    values: tuple[float, ...]
    members: int
    low: float | None
    high: float | None


@dataclasses.dataclass(frozen=True)
class History:
    """The course of a finished refinement.

    Attributes:
      rounds: All rounds, starting with the first grid.
      stopped: Why refinement stopped: a result of `stop_reason`, or ``"rounds"`` if
        all rounds were used.
      floor: Stretch of the final interval in which the seeds are undecided, or None.
    """

    rounds: tuple[Round, ...]
    stopped: str
    floor: tuple[float, float] | None

    def plain(self) -> dict[str, Any]:
        """The refinement as JSON values."""
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
