"""How much narrower refined intervals are than uniform ones, by simulation.

Seeds with known thresholds are simulated, and every sweep is estimated twice from as
many members: with values refined as `onset sweep` refines them, and on a uniform grid.
No network is trained.
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
"""Of the first grid, on an axis of that length less one; its gap is one unit."""
ADDED = 5
"""Values of a round, as `sweep.refine.num` has by default."""
UNITS = (8, 16)
ROUNDS = (1, 2, 3)
NARROW = 1e-3
"""Target width, which no refinement here reaches before its rounds are spent."""
FIRST = 3.5
"""Least place of the onset; it is uniform over the two gaps after it."""

Generator = np.random.Generator


@dataclasses.dataclass(frozen=True)
class Seeds:
    """How the thresholds of seeds are spread around the onset.

    Attributes:
      name: in the table.
      sd: of thresholds, in gaps of the first grid.
      lapse: probability that a member gives the opposite outcome.
    """

    name: str
    sd: float
    lapse: float = 0.0

    def draw(self, generator: Generator, units: int, place: float) -> "Drawn":
        """Seeds of one sweep."""
        thresholds = place + self.sd * generator.standard_normal(units)
        return Drawn(thresholds, self.lapse, int(generator.integers(2**32)))


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Seeds of one sweep, whose outcomes at any places can be asked for.

    Attributes:
      thresholds: collapsed below them, ``[units]``.
      lapse: probability of the opposite outcome.
      seed: of the lapses.
    """

    thresholds: np.ndarray
    lapse: float
    seed: int

    def outcome(self, places: np.ndarray) -> np.ndarray:
        """Outcomes ``[units, values]``, the same ones whenever a place is asked for."""
        below = places < self.thresholds[:, None]
        # A member lapses by its own seed and value, whatever else is trained.
        for column, place in enumerate(places if self.lapse else ()):
            bits = int(np.float64(place).view(np.uint64))
            own = np.random.default_rng((self.seed, bits))
            below[:, column] ^= own.random(len(below)) < self.lapse
        return below.astype(float)

    def floor(self) -> float:
        """Width of the interval from a grid of endlessly many values, without lapses.

        It runs from the threshold at which enough seeds are left to decide to the
        one at which few enough are.
        """
        units, least = len(self.thresholds), enough(len(self.thresholds))
        falling = np.sort(self.thresholds)[::-1]
        return float(falling[units - least] - falling[least - 1])


def enough(units: int) -> int:
    """The least number of seeds collapsed that decides that most are."""
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
    """Sweeps of one kind and number of seeds, refined in one number of rounds.

    Attributes:
      refined: median width of the intervals, in gaps of the first grid.
      uniform: the same of uniform grids of as many members as all rounds have.
      floor: median width that no number of values could go below; NaN with lapses.
      coverage: share of refined intervals that hold the truth.
      uniform_coverage: of the uniform grids' intervals.
      values: mean number of values that were trained with refinement.
    """

    refined: float
    uniform: float
    floor: float
    coverage: float
    uniform_coverage: float
    values: float

    @property
    def ratio(self) -> float:
        """How much narrower the refined interval is."""
        return self.uniform / self.refined


def refine(drawn: Drawn, places: np.ndarray, rounds: int) -> list[tuple[Onset, int]]:
    """Refines as a sweep does.

    Args:
      drawn: The seeds.
      places: Logarithms of the first grid's values, increasing.
      rounds: Largest number of rounds; after an early stop the last entry is repeated.

    Returns:
      The onset and the number of values trained, after the first grid and after each
      round.
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
    """Draws sweeps and estimates them both ways; one cell for each of `ROUNDS`.

    An interval without two ends counts as infinitely wide. The uniform grid has the
    values of all rounds, also where refinement stopped before it had spent them.
    """
    generator = np.random.default_rng((seed, units, *seeds.name.encode()))
    places = FIRST + 2 * generator.random(replicates)
    every = [seeds.draw(generator, units, place) for place in places]
    first = np.arange(VALUES, dtype=float)
    histories = [refine(drawn, first, max(ROUNDS)) for drawn in every]
    floor = np.nan if seeds.lapse else np.median([drawn.floor() for drawn in every])
    cells = []
    for rounds in ROUNDS:
        # One axis after the other: its curves are made once.
        axis = np.linspace(0, VALUES - 1, VALUES + ADDED * rounds)
        plain = [estimate_onset(np.exp(axis), drawn.outcome(axis)) for drawn in every]
        refined = [history[rounds][0] for history in histories]
        cells.append(
            RefinementCell(
                refined=_median_width(refined),
                uniform=_median_width(plain),
                floor=float(floor),
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
    """By the rule of the coverage study: open ends reach beyond the values."""
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
