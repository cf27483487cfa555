"""The likelihood of where a falling curve of collapse probability crosses one half.

Along ``x = ln value`` the collapse probability is modelled as

    P(x) = b + (a - b) Phi((mu - x) / s)

with free asymptotes a > 1/2 > b, because some seeds may never collapse and others
always. If the outcomes of all units are monotone along the axis, each unit is known to
change between two values l and r of the grid, and contributes ``P(l) - P(r)``, the
probability of a change in that gap. If the outcomes of any unit are not monotone, this
gap does not exist for it, and all units contribute Bernoulli terms at every value
instead. That is a composite likelihood: it is used to locate the curve, not for the
uncertainty of its location. The parameters are integrated out over a fixed grid that
is uniform in the crossing, ``ln s``, a and b. A maximum-likelihood estimate would move
to the edge of a gap as soon as a single seed differs from all others.
"""

import dataclasses
import functools

import numpy as np
from scipy import special, stats

LEVEL = 0.95
"""Level of the interval of the critical value."""
CUTOFF = float(np.sqrt(stats.chi2.ppf(LEVEL, 1)))
"""Absolute signed root from which the likelihood ratio decides at `LEVEL`."""
LEAST_UNITS = 4
"""Smallest number of seeds that can decide.

At P = 1/2, three seeds all collapse with probability 1/8, and all fail to with 1/8.
"""


def signed_roots(collapsed: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Signed root of the binomial likelihood ratio against P = 1/2, at each value.

    If its magnitude is at least `CUTOFF`, the seeds decide on which side of 1/2 the
    probability is. It assumes neither a shape of the curve nor independence of a
    seed's outcomes at different values.

    Args:
      collapsed: Number of collapsed seeds, ``[values]``.
      known: Number of seeds with an outcome, ``[values]``; if it is below
        `LEAST_UNITS`, the root is 0.
    """
    share = collapsed / np.maximum(known, 1)
    deviance = special.xlogy(share, 2 * share) + special.xlogy(
        1 - share, 2 * (1 - share)
    )
    root = np.sign(share - 0.5) * np.sqrt(2 * known * np.maximum(deviance, 0))
    return np.where(known >= LEAST_UNITS, root, 0.0)


@dataclasses.dataclass(frozen=True)
class Curves:
    """The parameter grid: N curves, in blocks of equal size for each of C crossings.

    Attributes:
      edges: Edges of the cells of the crossing, ``[C + 1]``.
      midpoint: Midpoint mu of each curve, ``[N]``.
      probability: Collapse probability at the values of the axis, ``[N, values]``.
    """

    edges: np.ndarray
    midpoint: np.ndarray
    probability: np.ndarray


@functools.lru_cache(maxsize=4)
def make_curves(x: tuple[float, ...]) -> Curves:
    """Makes the parameter grid for an axis of at least two increasing values."""
    axis = np.asarray(x)
    gaps = np.diff(axis)
    cells = max(2, 96 // len(gaps))
    inner = axis[:-1, None] + gaps[:, None] * np.arange(cells) / cells
    edges = np.append(inner.ravel(), axis[-1])
    grids = np.meshgrid(
        (edges[1:] + edges[:-1]) / 2,
        np.geomspace(gaps.min() / 10, axis[-1] - axis[0], 12),
        np.linspace(0.5, 1.0, 7)[1:],
        np.linspace(0.0, 0.5, 7)[:-1],
        indexing="ij",
    )
    crossing, s, a, b = (grid.ravel() for grid in grids)
    mu = crossing + s * stats.norm.ppf((0.5 - b) / (a - b))
    probability = b[:, None] + (a - b)[:, None] * special.ndtr(
        (mu[:, None] - axis) / s[:, None]
    )
    return Curves(edges, mu, np.clip(probability, 1e-6, 1 - 1e-6))


def is_monotone(outcome: np.ndarray) -> bool:
    """Whether no unit is collapsed above a value at which it is known not to be."""
    later = np.where(np.isnan(outcome), 0.0, outcome)[:, ::-1]
    collapsed_later = np.maximum.accumulate(later, axis=1)[:, ::-1]
    return bool(not np.any((outcome == 0) & (collapsed_later == 1)))


def change_bounds(outcome: np.ndarray) -> np.ndarray:
    """The two values between which each unit changes from collapsed to not collapsed.

    A unit whose outcomes are not monotone changes where this contradicts the fewest of
    them; if several gaps contradict equally few, the bounds enclose all of these.

    Args:
      outcome: Outcomes ``[units, values]``: 1 collapsed, 0 not collapsed, NaN unknown;
        units are collapsed on the left.

    Returns:
      Indices ``[units, 2]``: the value to the left of the change (-1 if none), and the
      value to its right (the number of values if none).
    """
    values = outcome.shape[1]
    step = np.cumsum((outcome == 0).astype(int) - (outcome == 1), axis=1)
    contradicted = np.pad(step, ((0, 0), (1, 0)))  # by a change in each gap, + constant
    best = contradicted == contradicted.min(1, keepdims=True)
    first, last = best.argmax(1), values - best[:, ::-1].argmax(1)
    return np.stack([first - 1, last], axis=1)


def weigh(x: np.ndarray, outcome: np.ndarray) -> tuple[Curves, np.ndarray]:
    """Normalised likelihood of every curve of the parameter grid.

    Args:
      x: Increasing positions of the values on the axis, ``[values]``.
      outcome: Outcomes ``[units, values]`` as in `change_bounds`; each unit has at
        least one known outcome.

    Returns:
      The curves and their weights ``[C, N / C]``, which sum to 1.
    """
    curves = make_curves(tuple(float(place) for place in x))
    probability = curves.probability
    if is_monotone(outcome):
        fit = np.zeros(len(probability))
        pairs, counts = np.unique(change_bounds(outcome), axis=0, return_counts=True)
        for (left, right), count in zip(pairs, counts, strict=True):
            before = probability[:, left] if left >= 0 else 1.0
            after = probability[:, right] if right < len(x) else 0.0
            fit += count * np.log(np.maximum(before - after, 1e-12))
    else:
        collapsed, free = (outcome == 1).sum(0), (outcome == 0).sum(0)
        # Not @: BLAS would start threads, which on busy cores cost more than they save.
        fit = np.einsum("nv,v->n", np.log(probability), collapsed)
        fit += np.einsum("nv,v->n", np.log1p(-probability), free)
    cells = len(curves.edges) - 1
    weights = np.exp(fit - fit.max()).reshape(cells, -1)
    weights *= np.diff(curves.edges)[:, None]
    return curves, weights / weights.sum()


def quantiles(
    edges: np.ndarray, weights: np.ndarray, shares: tuple[float, ...]
) -> np.ndarray:
    """Quantiles of a histogram with the given edges of its cells."""
    cumulated = np.concatenate([[0.0], np.cumsum(weights)])
    # On a flat stretch a quantile is not unique; the tiny slope makes it so.
    cumulated += np.linspace(0, 1e-12, len(cumulated))
    return np.interp(np.asarray(shares) * cumulated[-1], cumulated, edges)
