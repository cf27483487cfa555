"""How often the onset's 95 % interval holds the truth, by simulation.

Members are simulated from known onsets, and every simulated sweep is estimated as
`onset sweep` estimates it. No network is trained.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy import stats

from sweeps.inference.onset import Onset, estimate_onset
from sweeps.studies.simulation import Tell

UNITS = (3, 5, 8, 12, 20)
VALUES = 12
"""The axis: 12 values whose logarithms are one unit, the *gap*, apart."""

Generator = np.random.Generator
Draw = Callable[[Generator, int, float], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Scenario:
    """Members with a known onset.

    Attributes:
      name: in the table.
      what: how outcomes come about, for the reader.
      draw: ``(generator, units, place) -> [units, VALUES]`` outcomes.
      start: least ``place``, in gaps after the first value; it is uniform in
        ``[start, start + spread]``.
      spread: of ``place``.
      offset: crossing of the population's P = 1/2 minus ``place``; None where P
        does not cross 1/2 anywhere.
      group: ``"inside"`` the values tried, or ``"outside"``.
    """

    name: str
    what: str
    draw: Draw
    start: float = 4.5
    spread: float = 2.0
    offset: float | None = 0.0
    group: str = "inside"


def below(threshold: np.ndarray) -> np.ndarray:
    """Collapsed at the values below each unit's threshold, ``[units, VALUES]``."""
    return (np.arange(VALUES) < threshold[:, None]).astype(float)


def normal(sd: float) -> Draw:
    """Thresholds normal around the place."""
    return lambda g, n, place: below(place + sd * g.standard_normal(n))


def outliers(g: Generator, n: int, place: float) -> np.ndarray:
    """One common threshold, but one seed in five has its own (sd 3 gaps)."""
    return below(place + 3 * g.standard_normal(n) * (g.random(n) < 0.2))


def never(share: float, sd: float = 1.0) -> Draw:
    """A share of the seeds collapses nowhere; the others' thresholds are normal."""

    def draw(g: Generator, n: int, place: float) -> np.ndarray:
        threshold = place + sd * g.standard_normal(n)
        return below(np.where(g.random(n) < share, -np.inf, threshold))

    return draw


def two_kinds(g: Generator, n: int, place: float) -> np.ndarray:
    """65 % of thresholds at the place, 35 % five gaps higher, sd 1/2 each."""
    kind = np.where(g.random(n) < 0.65, 0.0, 5.0)
    return below(place + kind + 0.5 * g.standard_normal(n))


def skewed(g: Generator, n: int, place: float) -> np.ndarray:
    """Exponential thresholds, mean 2 gaps after the place."""
    return below(place + 2 * g.exponential(size=n))


def lapses(g: Generator, n: int, place: float) -> np.ndarray:
    """Thresholds of sd 1, and one member in ten gives the opposite outcome."""
    outcome = normal(1.0)(g, n, place)
    return np.where(g.random(outcome.shape) < 0.1, 1 - outcome, outcome)


def window(g: Generator, n: int, place: float) -> np.ndarray:
    """Collapsed only between two thresholds five gaps apart, sd 1 each."""
    high = place + g.standard_normal(n)
    low = place - 5 + g.standard_normal(n)
    return below(high) * (1 - below(low))


def frozen(g: Generator, n: int, place: float) -> np.ndarray:
    """Thresholds of sd 2, and one member in seven diverged."""
    outcome = normal(2.0)(g, n, place)
    return np.where(g.random(outcome.shape) < 1 / 7, np.nan, outcome)


SCENARIOS = (
    Scenario("sharp", "all seeds change at one place", normal(0.0)),
    Scenario("sharp, outliers", outliers.__doc__ or "", outliers),
    Scenario("steep", "thresholds normal, sd ½ gap", normal(0.5)),
    Scenario("medium", "thresholds normal, sd 1 gap", normal(1.0)),
    Scenario("shallow", "thresholds normal, sd 2 gaps", normal(2.0)),
    Scenario("very shallow", "thresholds normal, sd 3 gaps", normal(3.0)),
    Scenario(
        "shallow, on a value",
        "as shallow, the crossing just above a value tried (the worst place)",
        normal(2.0),
        start=5.001,
        spread=0.0,
    ),
    Scenario("skewed", skewed.__doc__ or "", skewed, 4.0, 2.0, 2 * np.log(2)),
    Scenario(
        "bimodal, some never",
        "a quarter of the seeds collapses nowhere, the others as medium",
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
    Scenario("at the edge", "medium, inside the first gap", normal(1.0), 0.0, 1.0),
    Scenario(
        "censored above",
        "medium, 0 to 2 gaps after the last value",
        normal(1.0),
        VALUES - 1.0,
        group="outside",
    ),
    Scenario(
        "censored below",
        "medium, 0 to 2 gaps before the first value",
        normal(1.0),
        -2.0,
        group="outside",
    ),
    Scenario(
        "never one half",
        "65 % of the seeds collapse nowhere: P falls from .35 to 0",
        never(0.65),
        offset=None,
        group="outside",
    ),
)


@dataclasses.dataclass(frozen=True)
class CoverageCell:
    """What the replicates of one scenario and number of seeds gave.

    Attributes:
      coverage: share of sweeps whose statement holds the truth.
      closed: share whose interval has both ends.
      censored: share reported as censored.
      width: median width of the closed intervals, in gaps; NaN without any.
      bias: mean estimate minus truth, in gaps; NaN without truth or estimate.
      error: root mean square of the same.
    """

    coverage: float
    closed: float
    censored: float
    width: float
    bias: float
    error: float


def holds(onset: Onset, values: np.ndarray, truth: float | None) -> bool:
    """Whether a result is compatible with the truth.

    A closed or half-open interval must hold it; an open end reaches beyond the values
    and to "there is no crossing". A censored result is right for a truth outside the
    values, and for one between two values if the seeds are said not to decide at
    one of them.

    Args:
      onset: the result.
      values: the axis.
      truth: the crossing, None where there is none.
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
    """Draws sweeps of one scenario and summarises what is estimated from them."""
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
