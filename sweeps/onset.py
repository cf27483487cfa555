"""The critical value of a knob: where the probability of collapse crosses one half.

Each unit (an init seed on a data stream) is trained at every value from the same
start, so what a unit tells is *where* along the axis it stops being collapsed. The
grid hides that point inside a gap, and a unit whose pattern is not monotone hides it
inside everything between its first and its last change. With the collapse
probability along ``x = ln value``

    P(x) = b + (a - b) Phi((mu - x) / s)

(a and b are the shares collapsed far on the left and far on the right, free because
some seeds collapse nowhere), a unit known to change between l and r contributes
``P(l) - P(r)`` to the likelihood. The critical value is where P crosses 1/2; its
interval holds every crossing that a likelihood-ratio test at 95 % does not reject,
and is open at an end where "no crossing on that side" is not rejected either.

The value 0 has no logarithm: it is left out of the fit and shown as an asymptote.
"""

import dataclasses
import math

import numpy as np
from scipy import stats

LEVEL = 0.95


@dataclasses.dataclass(frozen=True)
class Onset:
    """Where the collapse probability crosses one half.

    Attributes:
      estimate: maximum-likelihood crossing; None where there is none.
      low: lower end of the interval; None where it is open or there is no estimate.
      high: upper end, likewise.
      level: of the interval.
      midpoint: where P is half-way between its asymptotes; None as above.
      censored: ``"all"`` (collapsed in most units at every value), ``"none"``
        (in fewer than half at every value) or None.
      direction: ``"falling"`` (collapsed at small values) or ``"rising"``.
      crossings: every value at which the raw collapse fraction crosses 1/2.
      units: seeds the interval rests on.
    """

    estimate: float | None
    low: float | None
    high: float | None
    midpoint: float | None
    censored: str | None
    direction: str | None
    crossings: tuple[float, ...]
    units: int
    level: float = LEVEL


def fraction_interval(collapsed: int, members: int) -> tuple[float, float]:
    """Exact (Clopper-Pearson) 95 % interval of a collapse fraction."""
    if members == 0:
        return 0.0, 1.0
    interval = stats.binomtest(collapsed, members).proportion_ci(LEVEL, method="exact")
    return float(interval.low), float(interval.high)


def raw_crossings(values: np.ndarray, fraction: np.ndarray) -> tuple[float, ...]:
    """Where the fraction crosses 1/2, interpolated in the logarithm of the value."""
    x = np.log(values)
    above = fraction - 0.5
    found = []
    for i in range(len(x) - 1):
        if above[i] * above[i + 1] < 0:
            share = above[i] / (above[i] - above[i + 1])
            found.append(float(np.exp(x[i] + share * (x[i + 1] - x[i]))))
        elif above[i] == 0 and (i == 0 or above[i - 1] * above[i + 1] < 0):
            found.append(float(values[i]))
    return tuple(found)


def change_bounds(outcome: np.ndarray) -> np.ndarray:
    """Between which values each unit stops being collapsed, as indices.

    Args:
      outcome: ``[units, values]``; 1 collapsed, 0 not, NaN not known (diverged),
        with the collapsed side on the left.

    Returns:
      ``[units, 2]``: the last value before any doubt (-1: before the first) and the
      first value after any doubt (n: after the last).
    """
    values = outcome.shape[1]
    bounds = []
    for row in outcome:
        free = np.flatnonzero(row == 0)
        caught = np.flatnonzero(row == 1)
        left = caught[caught < (free[0] if len(free) else values)]
        right = free[free > (caught[-1] if len(caught) else -1)]
        bounds.append(
            (left[-1] if len(left) else -1, right[0] if len(right) else values)
        )
    return np.asarray(bounds)


def estimate_onset(values: np.ndarray, outcome: np.ndarray) -> Onset:
    """Estimates the critical value from who collapsed where.

    Args:
      values: swept values, increasing, ``[values]``; a leading 0 is left out.
      outcome: ``[units, values]``; 1 collapsed, 0 not, NaN not known.

    Returns:
      The `Onset`; censored rather than extrapolated where the fraction stays on one
      side of 1/2, and with open ends where the data do not close them.
    """
    positive = values > 0
    values, outcome = values[positive], outcome[:, positive]
    known = ~np.isnan(outcome).all(0)
    values, outcome = values[known], outcome[:, known]
    units = int((~np.isnan(outcome).all(1)).sum())
    nothing = Onset(None, None, None, None, None, None, (), units)
    if len(values) == 0:
        return nothing
    fraction = np.nanmean(outcome, axis=0)
    if (fraction >= 0.5).all():
        return dataclasses.replace(nothing, censored="all")
    if (fraction < 0.5).all():
        return dataclasses.replace(nothing, censored="none")
    falling = _leans_left(fraction)
    x = np.log(values)
    if not falling:
        x, outcome = -x[::-1], outcome[:, ::-1]
    estimate, low, high, midpoint = _fit(x, outcome)
    if not falling:
        estimate, midpoint = -estimate, -midpoint
        low, high = (None if e is None else -e for e in (high, low))

    def value_of(logarithm: float | None) -> float | None:
        return None if logarithm is None else float(math.exp(logarithm))

    return Onset(
        estimate=value_of(estimate),
        low=value_of(low),
        high=value_of(high),
        midpoint=value_of(midpoint),
        censored=None,
        direction="falling" if falling else "rising",
        crossings=raw_crossings(values, fraction),
        units=units,
    )


def _leans_left(fraction: np.ndarray) -> bool:
    """Whether collapse is found more at small values than at large ones."""
    centre = np.arange(len(fraction)) - (len(fraction) - 1) / 2
    return bool(np.dot(fraction, centre) <= 0)


def _fit(
    x: np.ndarray, outcome: np.ndarray
) -> tuple[float, float | None, float | None, float]:
    """Crossing, its interval and the midpoint on a log axis that falls to the right.

    The likelihood is cheap and not convex, so it is evaluated on a grid that covers
    everything the data could say, rather than climbed.
    """
    span = x[-1] - x[0] if len(x) > 1 else 1.0
    bounds = change_bounds(outcome[~np.isnan(outcome).all(1)])
    pairs, counts = np.unique(bounds, axis=0, return_counts=True)
    width = np.geomspace(span / 1000, span, 25)
    left = np.linspace(0.5, 1.0, 26)[1:]  # a > 1/2
    right = np.linspace(0.0, 0.5, 26)[:-1]  # b < 1/2
    s, a, b = (m.ravel() for m in np.meshgrid(width, left, right, indexing="ij"))
    shift = s * stats.norm.ppf((0.5 - b) / (a - b))  # mu - crossing
    centres = np.linspace(x[0] - span / 50, x[-1] + span / 50, 260)
    profile = np.empty(len(centres))
    midpoints = np.empty(len(centres))
    for i, crossing in enumerate(centres):
        mu = crossing + shift
        likelihood = _log_likelihood(x, mu, s, a, b, pairs, counts)
        best = int(np.argmax(likelihood))
        profile[i], midpoints[i] = likelihood[best], mu[best]
    top = int(np.argmax(profile))
    # Where many crossings are equally likely (all inside one gap), take their middle.
    ties = np.flatnonzero(profile > profile[top] - 1e-6)
    middle = int(ties[len(ties) // 2])
    floor = profile[top] - stats.chi2.ppf(LEVEL, 1) / 2
    inside = np.flatnonzero(profile >= floor)
    low, high = centres[inside[0]], centres[inside[-1]]
    # "Never above one half" and "never below it" as rivals of any crossing.
    never_above = _flat_log_likelihood(x, pairs, counts, upper=0.5, lower=0.0)
    never_below = _flat_log_likelihood(x, pairs, counts, upper=1.0, lower=0.5)
    open_low = never_above >= floor or inside[0] == 0
    open_high = never_below >= floor or inside[-1] == len(centres) - 1
    return (
        float(centres[middle]),
        None if open_low else float(low),
        None if open_high else float(high),
        float(midpoints[middle]),
    )


def _log_likelihood(
    x: np.ndarray,
    mu: np.ndarray,
    s: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    pairs: np.ndarray,
    counts: np.ndarray,
) -> np.ndarray:
    """Log-likelihood of the change bounds for a stack of parameters."""
    total = np.zeros(len(mu))
    for (left, right), count in zip(pairs, counts, strict=True):
        before = _probability(x[left], mu, s, a, b) if left >= 0 else 1.0
        after = _probability(x[right], mu, s, a, b) if right < len(x) else 0.0
        total += count * np.log(np.maximum(before - after, 1e-300))
    return total


def _probability(
    x: float, mu: np.ndarray, s: np.ndarray, a: np.ndarray, b: np.ndarray
) -> np.ndarray:
    return b + (a - b) * stats.norm.cdf((mu - x) / s)


def _flat_log_likelihood(
    x: np.ndarray,
    pairs: np.ndarray,
    counts: np.ndarray,
    upper: float,
    lower: float,
) -> float:
    """Best log-likelihood with P between two bounds all along the axis."""
    span = x[-1] - x[0] if len(x) > 1 else 1.0
    grids = np.meshgrid(
        np.linspace(x[0] - span, x[-1] + span, 60),
        np.geomspace(span / 1000, span, 12),
        np.linspace(lower, upper, 11),
        np.linspace(lower, upper, 11),
        indexing="ij",
    )
    mu, s, a, b = (g.ravel() for g in grids)
    falls = a >= b
    parameters = (mu[falls], s[falls], a[falls], b[falls])
    return float(_log_likelihood(x, *parameters, pairs, counts).max())
