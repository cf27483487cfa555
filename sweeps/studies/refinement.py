"""Simulation of how much narrower refinement makes the interval.

Seeds with known thresholds are simulated, and each sweep is estimated twice with the
same number of members: once with values refined as `onset sweep` refines them, and once
on a uniform grid. No network is trained.
"""

import dataclasses
from typing import Any

import numpy as np

from sweeps.inference.likelihood import CUTOFF, signed_roots
from sweeps.inference.onset import Onset, estimate_onset
from sweeps.inference.refine import closed, next_values, stop_reason, width
from sweeps.studies.coverage import holds
from sweeps.studies.simulation import Tell

VALUES = 10
"""Number of values in the first grid; neighbours are one unit, the *gap*, apart."""
ADDED = 5
"""Values that one round of refinement adds: the default of `sweep.refine.num`."""
UNITS = (8, 16)
ROUNDS = (1, 2, 3)
NARROW = 1e-3
"""Target width; no refinement here reaches it before all rounds are used."""
FIRST = 3.5
"""Smallest location of the onset, which is uniform over the next two gaps."""

Generator = np.random.Generator


@dataclasses.dataclass(frozen=True)
class Seeds:
    """Distribution of the thresholds of seeds around the onset.

    Attributes:
      name: Name in the tables of the document; it also enters the random seed.
      sd: Standard deviation of the thresholds, in gaps of the first grid.
      lapse: Probability that a member has the opposite outcome.
    """

    name: str
    sd: float
    lapse: float = 0.0

    def draw(self, generator: Generator, units: int, place: float) -> "Drawn":
        """Draws the seeds of one sweep whose onset is at ``place``."""
        thresholds = place + self.sd * generator.standard_normal(units)
        return Drawn(thresholds, self.lapse, int(generator.integers(2**32)))


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Seeds of one sweep, with a fixed outcome at every value that may be trained.

    Attributes:
      thresholds: Places below which each seed is collapsed, ``[units]``.
      lapse: Probability that a member has the opposite outcome.
      seed: Random seed of the lapses.
    """

    thresholds: np.ndarray
    lapse: float
    seed: int

    def outcome(self, places: np.ndarray) -> np.ndarray:
        """Outcomes ``[units, values]``; the same place always has the same outcomes."""
        below = places < self.thresholds[:, None]
        # Whether a member lapses depends on its seed and value alone, so it does not
        # change with the other values that are trained.
        for column, place in enumerate(places if self.lapse else ()):
            bits = int(np.float64(place).view(np.uint64))
            own = np.random.default_rng((self.seed, bits))
            below[:, column] ^= own.random(len(below)) < self.lapse
        return below.astype(float)

    def seed_limit(self) -> float:
        """Width of the interval from infinitely many values, without lapses.

        The interval extends from the threshold below which enough seeds are collapsed
        to decide that most are, to the one above which few enough are.
        """
        units, least = len(self.thresholds), enough(len(self.thresholds))
        falling = np.sort(self.thresholds)[::-1]
        return float(falling[units - least] - falling[least - 1])


def enough(units: int) -> int:
    """Smallest number of collapsed seeds that decides that P is above 1/2."""
    counts = np.arange(units + 1)
    return int(counts[signed_roots(counts, np.full(units + 1, units)) >= CUTOFF].min())


SEEDS = (
    Seeds("sharp", 0.0),
    Seeds("sd 0.02", 0.02),
    Seeds("sd 0.1", 0.1),
    Seeds("sd 0.5", 0.5),
    Seeds("sd 2", 2.0),
    Seeds("sd 0.1, lapses", 0.1, lapse=0.05),
)


@dataclasses.dataclass(frozen=True)
class RefinementCell:
    """Summary of simulated sweeps with one kind and number of seeds and of rounds.

    Attributes:
      refined: Median width of the refined intervals, in gaps of the first grid.
      uniform: Median width on uniform grids with as many members as all rounds have.
      seed_limit: Median width with infinitely many values; NaN with lapses.
      coverage: Share of the refined intervals that contain the true onset.
      uniform_coverage: Share of the uniform grids' intervals that contain it.
      values: Mean number of values that were trained with refinement.
    """

    refined: float
    uniform: float
    seed_limit: float
    coverage: float
    uniform_coverage: float
    values: float

    @property
    def ratio(self) -> float:
        """Factor by which the refined interval is narrower than the uniform one."""
        return self.uniform / self.refined


def refine(drawn: Drawn, places: np.ndarray, rounds: int) -> list[tuple[Onset, int]]:
    """Refines simulated sweeps as `onset sweep` does.

    Args:
      drawn: The seeds.
      places: Logarithms of the first grid's values, increasing.
      rounds: Maximum number of rounds.

    Returns:
      The onset and the number of values trained, after the first grid and after each
      round; if refinement stops early, the last entry is repeated.
    """
    values = np.exp(places)
    after: list[tuple[Onset, int]] = []
    while True:
        onset = estimate_onset(values, drawn.outcome(np.log(values)))
        after.append((onset, len(values)))
        if len(after) > rounds or stop_reason(onset, values, NARROW):
            return after + after[-1:] * (rounds + 1 - len(after))
        values = np.sort(np.append(values, next_values(onset, values, ADDED)))


def simulate(
    seeds: Seeds, units: int, replicates: int, seed: int
) -> list[RefinementCell]:
    """Simulates sweeps and estimates them both ways; one cell for each of `ROUNDS`.

    An interval with an open end counts as infinitely wide. The uniform grid has as many
    values as all rounds together, even if refinement stopped before using them.
    """
    generator = np.random.default_rng((seed, units, *seeds.name.encode()))
    places = FIRST + 2 * generator.random(replicates)
    every = [seeds.draw(generator, units, place) for place in places]
    first = np.arange(VALUES, dtype=float)
    histories = [refine(drawn, first, max(ROUNDS)) for drawn in every]
    limits = [] if seeds.lapse else [drawn.seed_limit() for drawn in every]
    cells = []
    for rounds in ROUNDS:
        # All sweeps of one axis in a row: the curves of an axis are cached.
        axis = np.linspace(0, VALUES - 1, VALUES + ADDED * rounds)
        plain = [estimate_onset(np.exp(axis), drawn.outcome(axis)) for drawn in every]
        refined = [history[rounds][0] for history in histories]
        cells.append(
            RefinementCell(
                refined=_median_width(refined),
                uniform=_median_width(plain),
                seed_limit=float(np.median(limits)) if limits else np.nan,
                coverage=_coverage(refined, places),
                uniform_coverage=_coverage(plain, places),
                values=float(np.mean([history[rounds][1] for history in histories])),
            )
        )
    return cells


def _median_width(onsets: list[Onset]) -> float:
    ends = [closed(onset) for onset in onsets]
    return float(np.median([np.inf if e is None else width(e) for e in ends]))


def _coverage(onsets: list[Onset], places: np.ndarray) -> float:
    """Share compatible with the true onset, by the rule of the coverage study."""
    axis = np.exp(np.arange(VALUES, dtype=float))
    pairs = zip(onsets, places, strict=True)
    return float(np.mean([holds(o, axis, float(np.exp(place))) for o, place in pairs]))


def tabulate(replicates: int, seed: int, tell: Tell) -> dict[tuple[str, int], Any]:
    """Simulates all kinds and numbers of seeds; one cell for each of `ROUNDS`."""
    table = {}
    for seeds in SEEDS:
        for units in UNITS:
            tell(f"{seeds.name}, {units} seeds")
            table[seeds.name, units] = simulate(seeds, units, replicates, seed)
    return table
