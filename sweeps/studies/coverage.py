"""Simulation of how often the 95 % interval contains the true onset.

Outcomes of members are simulated from known onsets, and each simulated sweep is
estimated by the same function that `onset sweep` uses. No network is trained.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy import stats

from sweeps.inference.onset import Onset, estimate_onset
from sweeps.studies.simulation import Tell

UNITS = (3, 5, 8, 12, 20)
VALUES = 12
"""Length of the axis; its values are one unit, the *gap*, apart in the logarithm."""

Generator = np.random.Generator
Draw = Callable[[Generator, int, float], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Scenario:
    """How the outcomes of members with a known onset are simulated.

    Attributes:
      name: Name in the tables of the document; it also enters the random seed.
      what: Explanation of the scenario for the reader of the document.
      draw: Function ``(generator, units, place) -> [units, VALUES]`` that draws
        outcomes for a given location ``place``.
      start: Smallest ``place``, in gaps after the first value; ``place`` is uniform
        in ``[start, start + spread]``.
      spread: Length of the range of ``place``, in gaps.
      offset: Value at which the population's P crosses 1/2, minus ``place``; None if
        P does not cross 1/2 anywhere.
      group: ``"inside"`` if the crossing is among the values tried, else ``"outside"``.
    """

    name: str
    what: str
    draw: Draw
    start: float = 4.5
    spread: float = 2.0
    offset: float | None = 0.0
    group: str = "inside"


def below(threshold: np.ndarray) -> np.ndarray:
    """Outcomes: collapsed below each unit's threshold, ``[units, VALUES]``."""
    return (np.arange(VALUES) < threshold[:, None]).astype(float)


def normal(sd: float) -> Draw:
    """Normally distributed thresholds around the location."""
    return lambda g, n, place: below(place + sd * g.standard_normal(n))


def outliers(g: Generator, n: int, place: float) -> np.ndarray:
    """All seeds share one threshold, except one in five (own threshold, sd 3 gaps)."""
    return below(place + 3 * g.standard_normal(n) * (g.random(n) < 0.2))


def never(share: float, sd: float = 1.0) -> Draw:
    """A share of the seeds never collapses; the other thresholds are normal."""

    def draw(g: Generator, n: int, place: float) -> np.ndarray:
        threshold = place + sd * g.standard_normal(n)
        return below(np.where(g.random(n) < share, -np.inf, threshold))

    return draw


def two_kinds(g: Generator, n: int, place: float) -> np.ndarray:
    """65 % of the thresholds are at the location, 35 % five gaps higher; sd 1/2 gap."""
    kind = np.where(g.random(n) < 0.65, 0.0, 5.0)
    return below(place + kind + 0.5 * g.standard_normal(n))


def skewed(g: Generator, n: int, place: float) -> np.ndarray:
    """Exponentially distributed thresholds, on average 2 gaps above the location."""
    return below(place + 2 * g.exponential(size=n))


def lapses(g: Generator, n: int, place: float) -> np.ndarray:
    """Normal thresholds (sd 1 gap), but one member in ten has the opposite outcome."""
    outcome = normal(1.0)(g, n, place)
    return np.where(g.random(outcome.shape) < 0.1, 1 - outcome, outcome)


def window(g: Generator, n: int, place: float) -> np.ndarray:
    """Collapse only between two thresholds that are five gaps apart (sd 1 gap each)."""
    high = place + g.standard_normal(n)
    low = place - 5 + g.standard_normal(n)
    return below(high) * (1 - below(low))


def frozen(g: Generator, n: int, place: float) -> np.ndarray:
    """Normal thresholds (sd 2 gaps), but one member in seven has diverged."""
    outcome = normal(2.0)(g, n, place)
    return np.where(g.random(outcome.shape) < 1 / 7, np.nan, outcome)


SCENARIOS = (
    Scenario("sharp", "all seeds have the same threshold", normal(0.0)),
    Scenario("sharp, outliers", outliers.__doc__ or "", outliers),
    Scenario("steep", "normal thresholds, sd ½ gap", normal(0.5)),
    Scenario("medium", "normal thresholds, sd 1 gap", normal(1.0)),
    Scenario("shallow", "normal thresholds, sd 2 gaps", normal(2.0)),
    Scenario("very shallow", "normal thresholds, sd 3 gaps", normal(3.0)),
    Scenario(
        "shallow, on a value",
        "as *shallow*, with the crossing just above a value tried (the worst location)",
        normal(2.0),
        start=5.001,
        spread=0.0,
    ),
    Scenario("skewed", skewed.__doc__ or "", skewed, 4.0, 2.0, 2 * np.log(2)),
    Scenario(
        "bimodal, some never",
        "a quarter of the seeds never collapses, the others are as in *medium*",
        never(0.25),
        offset=float(stats.norm.ppf(1 - 0.5 / 0.75)),
    ),
    Scenario(
        "bimodal, two kinds",
        two_kinds.__doc__ or "",
        two_kinds,
        3.0,
        2.0,
        0.5 * float(stats.norm.ppf(0.5 / 0.65)),
    ),
    Scenario("lapses", lapses.__doc__ or "", lapses),
    Scenario("not monotone", window.__doc__ or "", window, 6.0),
    Scenario("diverged", frozen.__doc__ or "", frozen),
    Scenario(
        "at the edge",
        "as *medium*, with the crossing inside the first gap",
        normal(1.0),
        0.0,
        1.0,
    ),
    Scenario(
        "censored above",
        "as *medium*, with the crossing 0 to 2 gaps above the last value",
        normal(1.0),
        VALUES - 1.0,
        group="outside",
    ),
    Scenario(
        "censored below",
        "as *medium*, with the crossing 0 to 2 gaps below the first value",
        normal(1.0),
        -2.0,
        group="outside",
    ),
    Scenario(
        "never one half",
        "65 % of the seeds never collapse, so P falls from .35 to 0",
        never(0.65),
        offset=None,
        group="outside",
    ),
)


@dataclasses.dataclass(frozen=True)
class CoverageCell:
    """Summary of the simulated sweeps of one scenario with one number of seeds.

    Attributes:
      coverage: Share of the sweeps whose result is compatible with the true onset.
      closed: Share of the sweeps whose interval has two finite ends.
      censored: Share of the sweeps that are reported as censored.
      width: Median width of the closed intervals, in gaps; NaN if there are none.
      bias: Mean of estimate minus true onset, in gaps; NaN if either never exists.
      error: Root mean square of estimate minus true onset, in gaps.
    """

    coverage: float
    closed: float
    censored: float
    width: float
    bias: float
    error: float


def holds(onset: Onset, values: np.ndarray, truth: float | None) -> bool:
    """Whether a result is compatible with the true onset.

    A closed or half-open interval must contain it. An open end extends beyond the
    values and includes the case of no crossing. A censored result is correct if the
    true onset is outside the values; if it lies between two values, the seeds must be
    reported as undecided at one of these two.

    Args:
      onset: Result of the estimation.
      values: Values of the axis.
      truth: The true crossing; None if there is none.
    """
    inside = truth is not None and values[0] <= truth <= values[-1]
    if onset.estimate is None:
        if truth is None or not inside:
            return True
        place = int(np.searchsorted(values, truth, side="right")) - 1
        around = values[max(place, 0) : place + 2]
        return any(value in onset.undecided for value in around)
    if truth is None:
        return onset.low is None or onset.high is None
    above = onset.low is None or onset.low <= truth
    return above and (onset.high is None or truth <= onset.high)


def simulate(
    scenario: Scenario, units: int, replicates: int, seed: int
) -> CoverageCell:
    """Simulates and estimates the sweeps of one scenario, and summarises them."""
    generator = np.random.default_rng((seed, units, *scenario.name.encode()))
    values = np.exp(np.arange(VALUES, dtype=float))
    covered, ends, censored, widths, errors = 0, 0, 0, [], []
    for _ in range(replicates):
        place = scenario.start + scenario.spread * generator.random()
        onset = estimate_onset(values, scenario.draw(generator, units, place))
        truth = None if scenario.offset is None else place + scenario.offset
        covered += holds(onset, values, None if truth is None else np.exp(truth))
        censored += onset.estimate is None
        if onset.low is not None and onset.high is not None:
            ends += 1
            widths.append(np.log(onset.high / onset.low))
        if onset.estimate is not None and truth is not None:
            errors.append(np.log(onset.estimate) - truth)
    return CoverageCell(
        coverage=covered / replicates,
        closed=ends / replicates,
        censored=censored / replicates,
        width=float(np.median(widths)) if widths else np.nan,
        bias=float(np.mean(errors)) if errors else np.nan,
        error=float(np.sqrt(np.mean(np.square(errors)))) if errors else np.nan,
    )


def tabulate(replicates: int, seed: int, tell: Tell) -> dict[str, list[CoverageCell]]:
    """Simulates every scenario; one cell for each of `UNITS`."""
    table = {}
    for scenario in SCENARIOS:
        tell(scenario.name)
        table[scenario.name] = [
            simulate(scenario, units, replicates, seed) for units in UNITS
        ]
    return table
