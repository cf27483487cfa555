"""The critical value of a knob: where the probability of collapse crosses one half.

Each unit (an init seed on a data stream) is trained at every value from the same
start, so outcomes along the axis are paired. Three questions are answered separately:

- **Where is the crossing?** In the gap of the grid in which the collapse fraction
  crosses 1/2, where the binomial likelihood of any falling curve is largest. Inside
  that gap, the integrated likelihood of `sweeps.inference.likelihood` places it.
- **How uncertain is it?** The interval extends to the nearest value on either side at
  which the binomial likelihood ratio decides (95 %) that the probability is above or
  below 1/2. An end in another gap is interpolated linearly in the signed root of that
  ratio. The interval always includes the whole gap, with one exception: if at least
  half of the change lies outside the gap, no value in it is at exactly 1/2, and the
  median of the integrated likelihood is in it, then the curve is wider than the grid,
  and the 95 % ends of that likelihood may lie inside the gap. An end is open if no
  value decides on that side. With fewer than four seeds, both ends are open.
- **Is there a crossing?** If the fraction stays on one side of 1/2, the result is
  *censored*, never extrapolated, and lists the values at which the seeds are undecided.

The coverage of the interval is measured in ``docs/coverage.md``, which is written by
``onset coverage``. The value 0 has no logarithm, so it is excluded here and reported
separately.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from sweeps.inference.likelihood import CUTOFF, LEVEL, quantiles, signed_roots, weigh


@dataclasses.dataclass(frozen=True)
class Crossing:
    """One place where the collapse fraction crosses one half.

    Attributes:
      value: Place of the crossing, interpolated in the logarithm; the middle of a
        stretch of values at exactly 1/2.
      direction: Direction of the crossing: ``"falling"`` or ``"rising"``.
      low: Lower end of the interval: the nearest place below at which the seeds
        decide; None if there is none.
      high: Upper end of the interval, likewise.
    """

    value: float
    direction: str
    low: float | None
    high: float | None


@dataclasses.dataclass(frozen=True)
class Onset:
    """Where the collapse probability crosses one half.

    Attributes:
      estimate: Estimate of the critical value; None if there is no crossing.
      low: Lower end of the interval; None if it is open or there is no estimate.
      high: Upper end of the interval, likewise.
      midpoint: Value at which the fitted curve is half-way between its asymptotes;
        None if there is no estimate or this value is outside the values tried.
      censored: Reason for no estimate: ``"none"`` (more than half collapsed at no
        value), ``"all"`` (at least half collapsed at every value), or else None.
      direction: ``"falling"`` (collapsed at small values) or ``"rising"``.
      crossings: All crossings of the raw collapse fraction, by increasing value.
      undecided: Values at which the seeds do not decide whether P is above or below
        1/2; censoring is firm if there are none.
      units: Number of seeds on which the interval is based.
      level: Level of the interval.
    """

    estimate: float | None
    low: float | None
    high: float | None
    midpoint: float | None
    censored: str | None
    direction: str | None
    crossings: tuple[Crossing, ...]
    undecided: tuple[float, ...]
    units: int
    level: float = LEVEL

    def plain(self) -> dict[str, Any]:
        """The onset as JSON values."""
        return dataclasses.asdict(self) | {
            "crossings": [dataclasses.asdict(crossing) for crossing in self.crossings],
            "undecided": list(self.undecided),
        }


def fraction_interval(collapsed: int, members: int) -> tuple[float, float]:
    """The exact (Clopper-Pearson) 95 % interval of a collapse fraction."""
    if members == 0:
        return 0.0, 1.0
    interval = stats.binomtest(collapsed, members).proportion_ci(LEVEL, method="exact")
    return float(interval.low), float(interval.high)


def stretches(fraction: np.ndarray) -> list[tuple[int, int]]:
    """Successive values on opposite sides of 1/2, ignoring values at exactly 1/2."""
    side = np.sign(fraction - 0.5)
    places = np.flatnonzero(side)
    pairs = zip(places[:-1], places[1:], strict=True)
    return [(int(i), int(j)) for i, j in pairs if side[i] != side[j]]


def estimate_onset(values: np.ndarray, outcome: np.ndarray) -> Onset:
    """Estimates the critical value from the outcome of every unit at every value.

    Args:
      values: Increasing swept values, ``[values]``; a leading 0 is excluded.
      outcome: Outcomes ``[units, values]``: 1 collapsed, 0 not collapsed, NaN unknown
        (diverged).

    Returns:
      The `Onset`. It has no estimate if all outcomes are unknown or no value is above
      0, is censored if the fraction stays on one side of 1/2, and has an open end if
      the seeds do not decide on that side.
    """
    usable = (values > 0) & ~np.isnan(outcome).all(0)
    values, outcome = values[usable], outcome[:, usable]
    outcome = outcome[~np.isnan(outcome).all(1)]
    units = len(outcome)
    nothing = Onset(None, None, None, None, None, None, (), (), units)
    if units == 0:
        return nothing
    x = np.log(values)
    fraction = np.nanmean(outcome, axis=0)
    roots = signed_roots(np.nansum(outcome, axis=0), (~np.isnan(outcome)).sum(0))
    nothing = dataclasses.replace(
        nothing, undecided=tuple(float(v) for v in values[np.abs(roots) < CUTOFF])
    )
    if (fraction <= 0.5).all():
        return dataclasses.replace(nothing, censored="none")
    if (fraction >= 0.5).all():
        return dataclasses.replace(nothing, censored="all")
    falling = _falls(fraction)
    places: Sequence[float | None]
    if falling:
        places = _locate(x, outcome, fraction, roots)
    else:
        # The mirror image falls; its lower end is the upper end of the rising curve.
        mirrored = _locate(-x[::-1], outcome[:, ::-1], fraction[::-1], roots[::-1])
        estimate, low, high, midpoint = map(_negative, mirrored)
        places = estimate, high, low, midpoint
    estimate, low, high, midpoint = map(_exponential, places)
    return dataclasses.replace(
        nothing,
        estimate=estimate,
        low=low,
        high=high,
        midpoint=midpoint,
        direction="falling" if falling else "rising",
        crossings=_crossings(x, fraction, roots),
    )


def _negative(place: float | None) -> float | None:
    return None if place is None else -place


def _exponential(place: float | None) -> float | None:
    return None if place is None else float(math.exp(place))


def _falls(fraction: np.ndarray) -> bool:
    """Whether collapse is more common at small values; a crossing must exist."""
    falls = {bool(fraction[i] > 0.5) for i, _ in stretches(fraction)}
    if len(falls) == 1:
        return falls.pop()
    centre = np.arange(len(fraction)) - (len(fraction) - 1) / 2
    return bool(np.dot(fraction, centre) <= 0)


def _crossings(
    x: np.ndarray, fraction: np.ndarray, roots: np.ndarray
) -> tuple[Crossing, ...]:
    found = []
    for i, j in stretches(fraction):
        if j == i + 1:
            share = (fraction[i] - 0.5) / (fraction[i] - fraction[j])
            place = x[i] + share * (x[j] - x[i])
        else:
            place = (x[i + 1] + x[j - 1]) / 2
        falling = fraction[i] > 0.5
        low, high = _ends(x, roots if falling else -roots, i, j)
        found.append(
            Crossing(
                float(math.exp(place)),
                "falling" if falling else "rising",
                _exponential(low),
                _exponential(high),
            )
        )
    return tuple(found)


def _ends(
    x: np.ndarray, roots: np.ndarray, left: int, right: int
) -> tuple[float | None, float | None]:
    """Ends of the interval of a falling crossing between two values."""
    above = np.flatnonzero(roots[: left + 1] >= CUTOFF)
    below = np.flatnonzero(roots[right:] <= -CUTOFF)
    low = high = None
    if len(above):
        j = above[-1]
        low = x[j] if j == left else _interpolate(x[j : j + 2], roots[j : j + 2])
    if len(below):
        j = right + below[0]
        span = slice(j, j - 2, -1)
        high = x[j] if j == right else _interpolate(x[span], -roots[span])
    return low, high


def _interpolate(x: np.ndarray, roots: np.ndarray) -> float:
    """Place between a decided and an undecided value where the root is the cut-off."""
    share = (roots[0] - CUTOFF) / (roots[0] - roots[1])
    return float(x[0] + share * (x[1] - x[0]))


def _locate(
    x: np.ndarray, outcome: np.ndarray, fraction: np.ndarray, roots: np.ndarray
) -> tuple[float, float | None, float | None, float | None]:
    """Crossing, lower end, upper end and midpoint on a log axis of falling collapse."""
    curves, weights = weigh(x, outcome)
    crossing = weights.sum(1)
    cells = (curves.edges[1:] + curves.edges[:-1]) / 2
    falls = [pair for pair in stretches(fraction) if fraction[pair[0]] > 0.5]
    inside = [(x[i] < cells) & (cells < x[j]) for i, j in falls]
    best = int(np.argmax([crossing[mask].sum() for mask in inside]))
    (i, j), mask = falls[best], inside[best]
    estimate = quantiles(curves.edges, np.where(mask, crossing, 0.0), (0.5,))[0]
    low, high = _ends(x, roots, i, j)
    change = fraction[: i + 1].max() - fraction[j:].min()
    least, centre, most = quantiles(
        curves.edges, crossing, ((1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2)
    )
    # A value at exactly 1/2 does not decide, so the interval has to include it.
    spread = j == i + 1 and fraction[i] - fraction[j] <= change / 2
    if spread and x[i] <= centre <= x[j]:
        low = max(low, min(least, estimate)) if low == x[i] else low
        high = min(high, max(most, estimate)) if high == x[j] else high
    middles = curves.midpoint.reshape(weights.shape)[mask].ravel()
    return float(estimate), low, high, _median_within(x, middles, weights[mask].ravel())


def _median_within(
    x: np.ndarray, places: np.ndarray, weights: np.ndarray
) -> float | None:
    """Weighted median, or None if it is outside the axis."""
    order = np.argsort(places)
    cumulated = np.cumsum(weights[order])
    median = float(places[order][np.searchsorted(cumulated, cumulated[-1] / 2)])
    return median if x[0] <= median <= x[-1] else None
