"""What the counts of a sweep say about where a falling curve crosses one half.

Along ``x = ln value`` the collapse probability is

    P(x) = b + (a - b) Phi((mu - x) / s)

with free asymptotes a > 1/2 > b, because some seeds collapse nowhere and others
everywhere. A unit whose pattern is monotone is known to change between two values l
and r of the grid and contributes ``P(l) - P(r)``, the mass of the grid's gap. Where
any pattern is not monotone no such gap exists, and all units contribute Bernoulli
terms at every value instead (a composite likelihood: it locates the curve, and is not
used for how well it is known). Parameters are integrated over a fixed grid, uniform
in the crossing, ``ln s``, a and b: a maximum would sit at a gap's edge as soon as one
seed differs from all others.
"""

import dataclasses
import functools

import numpy as np
from scipy import special, stats

LEVEL = 0.95
CUTOFF = float(np.sqrt(stats.chi2.ppf(LEVEL, 1)))
LEAST_UNITS = 4
"""Fewer cannot decide: three seeds agree by chance once in eight on either side."""


def signed_roots(collapsed: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Signed root of the binomial likelihood ratio of P = 1/2, at each value.

    Beyond `CUTOFF` in size the seeds decide on which side of 1/2 the probability is.
    It supposes nothing about the curve's shape, nor that a seed's outcomes at
    different values are independent.

    Args:
      collapsed: seeds collapsed, ``[values]``.
      known: seeds with an outcome, ``[values]``; below `LEAST_UNITS` the root is 0.
    """
    share = collapsed / np.maximum(known, 1)
    deviance = special.xlogy(share, 2 * share) + special.xlogy(
        1 - share, 2 * (1 - share)
    )
    root = np.sign(share - 0.5) * np.sqrt(2 * known * np.maximum(deviance, 0))
    return np.where(known >= LEAST_UNITS, root, 0.0)


@dataclasses.dataclass(frozen=True)
class Curves:
    """All curves that are compared; N of them, at C crossings in equal blocks.

    Attributes:
      edges: of the cells of the crossing, ``[C + 1]``.
      midpoint: mu, ``[N]``.
      probability: at the values of the axis, ``[N, values]``.
    """

    edges: np.ndarray
    midpoint: np.ndarray
    probability: np.ndarray


@functools.lru_cache(maxsize=4)
def make_curves(x: tuple[float, ...]) -> Curves:
    """The parameter grid of an axis of at least two increasing values."""
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
    """Whether no unit is collapsed again after it was not, unknown values left out."""
    later = np.where(np.isnan(outcome), 0.0, outcome)[:, ::-1]
    collapsed_later = np.maximum.accumulate(later, axis=1)[:, ::-1]
    return bool(not np.any((outcome == 0) & (collapsed_later == 1)))


def change_bounds(outcome: np.ndarray) -> np.ndarray:
    """Between which values each unit of a monotone pattern stops being collapsed.

    Args:
      outcome: ``[units, values]``; 1 collapsed, 0 not, NaN not known, and collapsed
        on the left.

    Returns:
      ``[units, 2]``: index of the last value collapsed (-1: none) and of the first
      one not (n: none).
    """
    values = outcome.shape[1]
    index = np.arange(values)
    last = np.where(outcome == 1, index, -1).max(1)
    first = np.where(outcome == 0, index, values).min(1)
    return np.stack([last, first], axis=1)


def weigh(x: np.ndarray, outcome: np.ndarray) -> tuple[Curves, np.ndarray]:
    """Integrated likelihood of every curve.

    Args:
      x: the axis, increasing, ``[values]``.
      outcome: ``[units, values]`` as in `change_bounds`, every unit with an outcome.

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
        # Not @: BLAS starts threads for it, which on busy cores costs more than it.
        fit = np.einsum("nv,v->n", np.log(probability), collapsed)
        fit += np.einsum("nv,v->n", np.log1p(-probability), free)
    cells = len(curves.edges) - 1
    weights = np.exp(fit - fit.max()).reshape(cells, -1)
    weights *= np.diff(curves.edges)[:, None]
    return curves, weights / weights.sum()


def quantiles(
    edges: np.ndarray, weights: np.ndarray, shares: tuple[float, ...]
) -> np.ndarray:
    """Quantiles of a histogram with cells between edges."""
    cumulated = np.concatenate([[0.0], np.cumsum(weights)])
    # A flat stretch has no single quantile; the tiny slope picks its middle's side.
    cumulated += np.linspace(0, 1e-12, len(cumulated))
    return np.interp(np.asarray(shares) * cumulated[-1], cumulated, edges)
