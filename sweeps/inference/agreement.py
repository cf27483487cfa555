"""Whether two onsets over the same values are at the same place."""

import numpy as np

from sweeps.inference.onset import Onset


def compare_onsets(first: Onset, second: Onset, values: np.ndarray) -> str:
    """Says whether two onsets are at the same place, as far as the seeds tell.

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
