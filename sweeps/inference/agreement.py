"""Whether two onsets over the same values are at the same place.

Onsets of different sweeps have only their two intervals in common (`compare_onsets`).
Parts of the signature are judged on the same seeds, so they are compared seed by seed
(`compare_parts`): parts *coincide* if, in the typical seed, their thresholds lie within
a factor `TOLERANCE` of each other.

A seed's threshold is known up to a gap of the grid, so the ratio of two of its
thresholds is known up to two gaps. The 95 % interval of the median ratio over seeds
ends at the nearest ratios, among the bounds of single seeds, that a sign test rejects,
with the binomial likelihood ratio that also bounds the onset. A seed whose ratio may
lie on either side counts half on each. On a grid that is even in the logarithm this is
exact if one part's thresholds are distributed like the other's, shifted: the test then
compares seeds with a larger and a smaller difference in whole gaps. Elsewhere it is
approximate; its coverage is measured in ``docs/coverage.md``.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from sweeps.inference.likelihood import CUTOFF, change_bounds, signed_roots
from sweeps.inference.onset import Onset

TOLERANCE = 2.0
"""Largest factor between two thresholds of a seed that counts as the same place.

Sweeps cover factors of 30 to 1000. A factor, not a number of gaps, because on a coarser
grid it would otherwise be easier to coincide.
"""
FAR = 1e3
"""Logarithm that stands for an infinite ratio."""
COINCIDE, DIFFER, UNDECIDED = "coincide", "differ", "undecided"


@dataclasses.dataclass(frozen=True)
class Ratio:
    """How far apart two parts set in, within the same seed.

    Attributes:
      low: Lower end of the 95 % interval of the median over seeds of the second part's
        threshold divided by the first part's; None if it is open.
      high: Upper end, likewise.
      verdict: ``"coincide"`` if the interval lies within the tolerance, ``"differ"`` if
        it lies outside it or if one part rises where the other falls, else
        ``"undecided"``.
    """

    low: float | None
    high: float | None
    verdict: str

    def plain(self) -> dict[str, Any]:
        """The ratio as JSON values."""
        return dataclasses.asdict(self)


def compare_parts(
    values: np.ndarray, outcomes: Mapping[str, np.ndarray]
) -> dict[tuple[str, str], Ratio]:
    """Compares the places at which parts set in, for every pair of parts.

    Args:
      values: Increasing swept values, ``[values]``, at least 0. A seed that does not
        show a part even at 0 has the threshold 0.
      outcomes: Outcomes ``[units, values]`` of each part on the same seeds: 1 shown, 0
        not shown, NaN unknown.

    Returns:
      The `Ratio` of each pair ``(first, second)``, in the order of the parts.
    """
    x = np.log(values, out=np.full(len(values), -np.inf), where=values > 0)
    rises = {name: _rises(outcome) for name, outcome in outcomes.items()}
    found = {}
    for first, second in itertools.combinations(outcomes, 2):
        directions = {rises[first], rises[second]} - {None}
        if len(directions) == 2:
            found[first, second] = Ratio(None, None, DIFFER)
            continue
        pair = outcomes[first], outcomes[second]
        if True in directions:
            pair = 1 - pair[0], 1 - pair[1]
        found[first, second] = _ratio(x, *pair)
    return found


def combine_verdicts(verdicts: Iterable[str]) -> str:
    """One verdict on all pairs: they differ if any pair does, coincide if all do."""
    all_of = set(verdicts)
    if DIFFER in all_of:
        return DIFFER
    return COINCIDE if all_of == {COINCIDE} else UNDECIDED


def _rises(outcome: np.ndarray) -> bool | None:
    """Whether P rises along the axis; None where the seeds do not decide."""
    roots = signed_roots(np.nansum(outcome, axis=0), (~np.isnan(outcome)).sum(0))
    above, below = np.flatnonzero(roots >= CUTOFF), np.flatnonzero(roots <= -CUTOFF)
    if not (len(above) and len(below)):
        return None
    return bool(above.mean() > below.mean())


def _ratio(x: np.ndarray, first: np.ndarray, second: np.ndarray) -> Ratio:
    """The ratio of two parts that are both shown on the left of the axis."""
    known = ~(np.isnan(first).all(1) | np.isnan(second).all(1))
    edges = np.concatenate([[-np.inf], x, [np.inf]])
    low_1, high_1 = edges[change_bounds(first[known]) + 1].T
    low_2, high_2 = edges[change_bounds(second[known]) + 1].T
    # Two thresholds that are both below all positive values have an unknown ratio.
    least = np.subtract(low_2, high_1, out=low_2.copy(), where=low_2 > -np.inf)
    most = np.subtract(high_2, low_1, out=-low_1, where=low_1 > -np.inf)
    places = np.concatenate([least, most])
    places = np.append(places[np.isfinite(places)], [-FAR, FAR])
    # Values are rounded, so equal differences of an even grid are only nearly equal.
    slack = np.diff(x[np.isfinite(x)]).min(initial=np.inf) / 20
    above = (least[:, None] >= places - slack).sum(0)
    below = (most[:, None] <= places + slack).sum(0)
    units = np.full(len(places), len(least))
    roots = signed_roots((units + above - below) / 2, units)
    low = places[roots >= CUTOFF].max(initial=-FAR)
    high = places[roots <= -CUTOFF].min(initial=FAR)
    bound = math.log(TOLERANCE)
    if -bound <= low and high <= bound:
        verdict = COINCIDE
    else:
        verdict = DIFFER if low >= bound or high <= -bound else UNDECIDED
    return Ratio(_factor(low), _factor(high), verdict)


def _factor(logarithm: float) -> float | None:
    return math.exp(logarithm) if abs(logarithm) < FAR else None


def compare_onsets(first: Onset, second: Onset, values: np.ndarray) -> str:
    """Says whether two onsets are at the same place, as far as their intervals tell.

    Args:
      first: An onset.
      second: Another onset, over the same values.
      values: Values of the axis, increasing.

    Returns:
      ``"coincide"``: same direction, each estimate inside the other's closed
      interval; or both firmly collapsed everywhere, or nowhere. ``"differ"``: other
      directions, disjoint intervals, or a closed interval where the other, censored,
      firmly has no crossing. ``"undecided"`` otherwise.
    """
    if first.estimate is None and second.estimate is None:
        firm = all(o.censored and not o.undecided for o in (first, second))
        same = first.censored == second.censored
        return ("coincide" if same else "differ") if firm else "undecided"
    if first.estimate is None:
        return "differ" if _free_of_crossings(first, second, values) else "undecided"
    if second.estimate is None:
        return "differ" if _free_of_crossings(second, first, values) else "undecided"
    if first.direction != second.direction:
        return "differ"
    if not (_reaches(first, second) and _reaches(second, first)):
        return "differ"
    same = _closed(first) and _closed(second)
    same = same and _holds(first, second.estimate) and _holds(second, first.estimate)
    return "coincide" if same else "undecided"


def _free_of_crossings(censored: Onset, other: Onset, values: np.ndarray) -> bool:
    """Whether a censored onset has no crossing in another's closed interval.

    It may have one only in a gap at one of whose ends the seeds do not decide.
    """
    if censored.censored is None or other.low is None or other.high is None:
        return False
    for place in np.searchsorted(values, censored.undecided):
        below = values[max(place - 1, 0)]
        above = values[min(place + 1, len(values) - 1)]
        if below < other.high and other.low < above:
            return False
    return True


def _closed(onset: Onset) -> bool:
    return onset.low is not None and onset.high is not None


def _reaches(first: Onset, second: Onset) -> bool:
    """Whether the first interval's upper end is not below the second's lower end."""
    return first.high is None or second.low is None or first.high >= second.low


def _holds(onset: Onset, value: float) -> bool:
    above = onset.low is None or onset.low <= value
    return above and (onset.high is None or value <= onset.high)
