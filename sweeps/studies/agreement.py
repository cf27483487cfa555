"""Simulation of how often "coincide" and "differ" are said, and how often wrongly.

Every simulated seed has three thresholds, one for each part of the signature, drawn
from a trivariate normal distribution on the logarithm of the knob. The parts are
compared by the functions that `onset sweep` uses. No network is trained.
"""

import dataclasses
import itertools

import numpy as np

from sweeps.inference.agreement import (
    COINCIDE,
    DIFFER,
    TOLERANCE,
    combine_verdicts,
    compare_onsets,
    compare_parts,
)
from sweeps.inference.onset import Onset, estimate_onset
from sweeps.studies.coverage import holds
from sweeps.studies.simulation import Tell

PARTS = ("rank_ratio", "concentration", "stratification")
SPREAD = 1.35
"""Factor of one standard deviation of the seeds' thresholds.

The default sweeps of softmax and of forgetting attention have 1.2 to 1.7.
"""
RANGE = 100.0
"""Factor between the last and the first value of an axis."""
UNITS = (8, 16, 32)
CORRELATIONS = (0.0, 0.5, 0.9)
STEPS = (1.5, 1.5**0.5, 1.5**0.25)
"""Factors between neighbouring values; the default attention sweep has 1.5."""
FACTORS = (1.0, 1.5, TOLERANCE, 3.0, 4.0)
"""True factors between the first and the last of three onsets."""
INTERVAL_FACTORS = (1.0, TOLERANCE)
"""True factors at which each part's interval is estimated as well."""

Generator = np.random.Generator


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a simulated sweep varies.

    Attributes:
      step: Factor between neighbouring values of the axis.
      correlation: Correlation between any two of a seed's log-thresholds.
      units: Number of seeds.
      spreads: Factor of one standard deviation of the thresholds, for each of `PARTS`.
    """

    step: float
    correlation: float
    units: int
    spreads: tuple[float, float, float] = (SPREAD, SPREAD, SPREAD)

    @property
    def values(self) -> np.ndarray:
        """Values of the axis, evenly spaced in the logarithm and centred on 1."""
        count = 1 + round(np.log(RANGE) / np.log(self.step))
        return self.step ** (np.arange(count) - (count - 1) / 2)

    def draw(self, generator: Generator, factor: float) -> "Drawn":
        """Draws one sweep whose first and last onset are a factor apart.

        The middle onset is uniform over two gaps, so that every place in a gap is
        equally likely.
        """
        middle = np.log(self.step) * (2 * generator.random() - 1)
        truth = middle + np.log(factor) * np.array([-0.5, 0.0, 0.5])
        shared = np.sqrt(self.correlation) * generator.standard_normal(self.units)
        own = generator.standard_normal((3, self.units))
        noise = shared + np.sqrt(1 - self.correlation) * own
        places = truth[:, None] + np.log(self.spreads)[:, None] * noise
        below = np.log(self.values) < places[..., None]
        outcomes = dict(zip(PARTS, below.astype(float), strict=True))
        return Drawn(dict(zip(PARTS, np.exp(truth), strict=True)), outcomes)


@dataclasses.dataclass(frozen=True)
class Drawn:
    """One simulated sweep.

    Attributes:
      truth: True onset of each part.
      outcomes: Outcomes ``[units, values]`` of each part.
    """

    truth: dict[str, float]
    outcomes: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class VerdictCell:
    """Summary of simulated sweeps with one setting and true factor.

    Attributes:
      coincide: Number of sweeps of which "coincide" is said.
      differ: Number of sweeps of which "differ" is said.
      covered: Number of intervals of a ratio, three a sweep, that contain the true one.
      width: Median factor between the ends of these intervals; infinite if open.
    """

    coincide: int
    differ: int
    covered: int
    width: float


@dataclasses.dataclass(frozen=True)
class IntervalCell:
    """Summary of the intervals of single onsets in the same simulated sweeps.

    Attributes:
      covered: Number of parts' intervals, three a sweep, that contain the true onset.
      coincide: Number of sweeps of which comparing two intervals says "coincide".
      differ: Number of sweeps of which it says "differ".
      width: Median factor between the ends of the ratio of two intervals.
    """

    covered: int
    coincide: int
    differ: int
    width: float


def judge(
    setting: Setting, factor: float, replicates: int, seed: int
) -> tuple[VerdictCell, list[Drawn]]:
    """Simulates sweeps and compares their parts; also returns the sweeps."""
    generator = np.random.default_rng(
        (seed, setting.units, *repr((setting, factor)).encode())
    )
    sweeps = [setting.draw(generator, factor) for _ in range(replicates)]
    verdicts, widths, covered = [], [], 0
    for drawn in sweeps:
        ratios = compare_parts(setting.values, drawn.outcomes)
        verdicts.append(combine_verdicts(ratio.verdict for ratio in ratios.values()))
        for (first, second), ratio in ratios.items():
            truth = drawn.truth[second] / drawn.truth[first]
            low, high = ratio.low or 0.0, ratio.high or np.inf
            # A true ratio of whole gaps may equal an end but for rounding.
            covered += bool(low * (1 - 1e-6) <= truth <= high * (1 + 1e-6))
            widths.append(high / low if low else np.inf)
    cell = VerdictCell(
        coincide=verdicts.count(COINCIDE),
        differ=verdicts.count(DIFFER),
        covered=covered,
        width=float(np.median(widths)),
    )
    return cell, sweeps


def estimate_intervals(setting: Setting, sweeps: list[Drawn]) -> IntervalCell:
    """Estimates each part's onset and compares the intervals, not the seeds."""
    values, covered, verdicts, widths = setting.values, 0, [], []
    for drawn in sweeps:
        onsets = {part: estimate_onset(values, drawn.outcomes[part]) for part in PARTS}
        covered += sum(bool(holds(onsets[p], values, drawn.truth[p])) for p in PARTS)
        pairs = list(itertools.combinations(onsets.values(), 2))
        verdicts.append(combine_verdicts(compare_onsets(*p, values) for p in pairs))
        widths += [_extent(first) * _extent(second) for first, second in pairs]
    return IntervalCell(
        covered=covered,
        coincide=verdicts.count(COINCIDE),
        differ=verdicts.count(DIFFER),
        width=float(np.median(widths)),
    )


def _extent(onset: Onset) -> float:
    """Factor between the ends of an interval, infinite if it is not closed."""
    if onset.low is None or onset.high is None:
        return np.inf
    return onset.high / onset.low


GRID = tuple(itertools.starmap(Setting, itertools.product(STEPS, CORRELATIONS, UNITS)))
# One part without spread: its thresholds are not distributed as the others'.
SHARP = tuple(Setting(STEPS[0], 0.0, units, (SPREAD, 1.0, SPREAD)) for units in UNITS)
# Seeds that differ more, and an axis as coarse as that of some default sweeps.
WIDE = (Setting(STEPS[0], 0.5, 8, (2.0, 2.0, 2.0)), Setting(10**0.5, 0.5, 8))
SETTINGS = (*GRID, *SHARP, *WIDE)


@dataclasses.dataclass(frozen=True)
class AgreementTables:
    """What the study found.

    Attributes:
      verdicts: For each of `SETTINGS`, one cell for each of `FACTORS`.
      intervals: For those of `GRID` on its coarsest and its finest axis, and for
        `WIDE`, one cell for each of `INTERVAL_FACTORS`.
    """

    verdicts: dict[Setting, list[VerdictCell]]
    intervals: dict[Setting, list[IntervalCell]]


def tabulate(replicates: int, seed: int, tell: Tell) -> AgreementTables:
    """Simulates every setting."""
    tables = AgreementTables({}, {})
    for setting in SETTINGS:
        tell(f"{setting}")
        both = setting not in SHARP and setting.step != STEPS[1]
        for factor in FACTORS:
            cell, sweeps = judge(setting, factor, replicates, seed)
            tables.verdicts.setdefault(setting, []).append(cell)
            if both and factor in INTERVAL_FACTORS:
                found = estimate_intervals(setting, sweeps)
                tables.intervals.setdefault(setting, []).append(found)
    return tables
