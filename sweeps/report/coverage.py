"""The coverage study as Markdown; each sentence about a number is built from it."""

import itertools
import math
from collections.abc import Callable
from typing import Any

from sweeps.inference.agreement import TOLERANCE
from sweeps.inference.onset import fraction_interval
from sweeps.studies import agreement
from sweeps.studies.agreement import AgreementTables, Setting
from sweeps.studies.coverage import SCENARIOS, UNITS, VALUES, CoverageCell

LEAST, MOST = 0.90, 0.98
"""Target range of the coverage of an interval of 95 %."""
ENOUGH = 8
"""Number of seeds from which the target range is expected to hold."""
REACHED = 0.8
"""Share of sweeps from which a verdict is called within reach."""

INTRODUCTION = """# Does the 95 % interval contain the true onset?

This document is written by

    onset coverage --replicates={replicates} --seed={seed} --output=docs/coverage.md

The outcomes of members with a known onset are simulated on an axis of {values} values
that are evenly spaced in the logarithm. All lengths are in *gaps* of this grid. Each
cell of the tables summarises {replicates} simulated sweeps. They are estimated by
`estimate_onset` of `sweeps/inference/onset.py`, the function that `onset sweep` uses.
The standard error of a coverage of 95 % is {error:.1f} percentage points.

The **true onset** is where the collapse probability P of the population crosses ½ on
the continuous axis, not on the grid. Its location is drawn uniformly over two whole
gaps (over one at the edge), so a sharp onset is equally likely anywhere in its gap;
only "shallow, on a value" fixes it at the worst location. In "not monotone", P crosses
½ twice, and the true onset is the falling crossing.

A closed interval is correct if it contains the true onset. An open end extends beyond
the values tried and includes the case that there is no crossing. A result that is
reported as censored is correct if the true onset is outside the values tried. If the
true onset is inside, a censored result is correct only if it also reports that the
seeds are undecided at one of the two neighbouring values.

## Coverage of the 95 % interval, in percent
"""


def render(table: dict[str, list[CoverageCell]], replicates: int, seed: int) -> str:
    """Renders the document.

    Args:
      table: Scenario name to one cell for each of `UNITS`.
      replicates: Number of simulated sweeps in each cell.
      seed: Random seed of the study.
    """
    introduction = INTRODUCTION.format(
        replicates=replicates,
        seed=seed,
        values=VALUES,
        error=100 * math.sqrt(0.95 * 0.05 / replicates),
    )
    sections = [
        introduction.rstrip(),
        "",
        *_rows(table, "inside", lambda cell: f"{100 * cell.coverage:.1f}"),
        "",
        *_verdict(table),
        "",
        "In the following scenarios, the true onset is outside the values tried or "
        "does not exist. A miss is an interval that is closed at an end where there is "
        "no crossing.",
        "",
        *_rows(table, "outside", lambda cell: f"{100 * cell.coverage:.1f}"),
        "",
        "## Bias and, in brackets, root mean square error of the estimate, in gaps",
        "",
        *_rows(table, "inside", lambda cell: f"{cell.bias:+.2f} ({cell.error:.2f})"),
        "",
        "Sweeps that are reported as censored have no estimate and are excluded.",
        _most_biased(table),
        "",
        "## Median width of closed intervals, in gaps "
        "(percent closed, percent censored)",
        "",
        *_rows(table, None, _width),
        "",
        "## Scenarios",
        "",
        *(f"- **{s.name}**: {_plain(s.what)}" for s in SCENARIOS),
        "",
    ]
    return "\n".join(sections)


def _plain(text: str) -> str:
    text = text.rstrip(".")
    return f"{text[0].lower()}{text[1:]}."


def _width(cell: CoverageCell) -> str:
    width = "–" if math.isnan(cell.width) else f"{cell.width:.1f}"
    return f"{width} ({100 * cell.closed:.0f}, {100 * cell.censored:.0f})"


def _rows(
    table: dict[str, list[CoverageCell]],
    group: str | None,
    show: Callable[[CoverageCell], Any],
) -> list[str]:
    head = "| scenario | " + " | ".join(f"{n} seeds" for n in UNITS) + " |"
    rows = [head, "|---" * (len(UNITS) + 1) + "|"]
    for scenario in SCENARIOS:
        if group in (None, scenario.group):
            cells = " | ".join(show(cell) for cell in table[scenario.name])
            rows.append(f"| {scenario.name} | {cells} |")
    return rows


def _verdict(table: dict[str, list[CoverageCell]]) -> list[str]:
    """Which cells with enough seeds are outside the target range, and why."""
    inside = [s.name for s in SCENARIOS if s.group == "inside"]
    cells = [
        (name, units, cell.coverage)
        for name in inside
        for units, cell in zip(UNITS, table[name], strict=True)
        if units >= ENOUGH
    ]
    low = [cell for cell in cells if cell[2] < LEAST]
    high = [cell for cell in cells if cell[2] > MOST]
    least = min(cells, key=lambda cell: cell[2])
    return [
        f"With {ENOUGH} seeds or more, {len(cells) - len(low) - len(high)} of "
        f"{len(cells)} cells lie between {100 * LEAST:.0f} and {100 * MOST:.0f} %; the "
        f"lowest coverage is {100 * least[2]:.1f} % ({least[0]}, {least[1]} seeds).",
        "",
        f"- Below {100 * LEAST:.0f} %: {_list(low)}.",
        f"- Above {100 * MOST:.0f} %: {_list(high)}.",
        "",
        "There are two reasons why the coverage of an interval can exceed 95 %. First, "
        "if P falls within about one gap or less, the interval includes the whole "
        "gap, because no measurement tells where in the gap the crossing is: a finer "
        "grid makes this interval narrower, more seeds do not. Second, if one end is "
        "open in most sweeps (at the edge of the values tried, or where P hardly "
        "exceeds ½), only the other end can miss the true onset.",
        "",
        "With 3 seeds both ends are always open, so no interval can miss the true "
        "onset. The reason is that if P is ½, three seeds all collapse with "
        "probability 1/8, and all fail to collapse with the same probability.",
    ]


def _most_biased(table: dict[str, list[CoverageCell]]) -> str:
    """A sentence about the largest bias with enough seeds."""
    cells = [
        (scenario.name, units, cell.bias)
        for scenario in SCENARIOS
        if scenario.group == "inside"
        for units, cell in zip(UNITS, table[scenario.name], strict=True)
        if units >= ENOUGH and not math.isnan(cell.bias)
    ]
    if not cells:
        return ""
    name, units, bias = max(cells, key=lambda one: abs(one[2]))
    return (
        f"With {ENOUGH} seeds or more, the largest bias is {bias:+.2f} gaps ({name}, "
        f"{units} seeds). If P stays near ½ over several gaps, the estimate may lie in "
        "any of them, and only the interval should be interpreted."
    )


def _list(cells: list[tuple[str, int, float]]) -> str:
    if not cells:
        return "none"
    found: dict[str, list[str]] = {}
    for name, units, coverage in cells:
        found.setdefault(name, []).append(f"{100 * coverage:.1f} with {units}")
    return "; ".join(f"{name} ({', '.join(each)})" for name, each in found.items())


AGREEMENT = """
## How often three parts are said to coincide or to differ, and how often wrongly

Every seed has three thresholds, one for each part of the signature. Their logarithms
are drawn from a trivariate normal distribution with the given correlation between any
two and the factor *spread* as standard deviation. The medians of the first (rank ratio)
and the last (stratification) are the *true factor* apart, and that of concentration is
halfway. The values of the knob cover a factor of {range:g}; neighbours are the factor
*step* apart. The parts are compared by `compare_parts` of
`sweeps/inference/agreement.py`, with the tolerance of a factor {tolerance:g}, as
`onset sweep` compares them. Each cell summarises {replicates} sweeps; brackets are
exact 95 % intervals.

### Sweeps of which "coincide" is said, in percent
"""


def render_agreement(tables: AgreementTables, replicates: int) -> str:
    """Renders the part of the document about the agreement of three parts."""
    cells = list(tables.verdicts.values())
    covered = min(cell.covered for row in cells for cell in row) / (3 * replicates)
    limit = agreement.FACTORS.index(TOLERANCE)
    loosest = max(row[-1].coincide for row in tables.intervals.values())

    def worst(verdict: str, factors: slice) -> str:
        counts = [getattr(cell, verdict) for row in cells for cell in row[factors]]
        return _percent(max(counts), replicates)

    lines = [
        AGREEMENT.format(
            range=agreement.RANGE, tolerance=TOLERANCE, replicates=replicates
        ),
        *_verdict_rows(tables, replicates, "coincide"),
        "",
        "The rest to 100 % at the factor 1 are misses. Beyond the tolerance it is a "
        f"false alarm: in at most {worst('coincide', slice(limit, limit + 1))} % of "
        "sweeps at the limit, and in at most "
        f"{worst('coincide', slice(limit + 1, None))} % at larger factors.",
        "",
        '### Sweeps of which "differ" is said, in percent',
        "",
        *_verdict_rows(tables, replicates, "differ"),
        "",
        "Within the tolerance it is a false alarm: in at most "
        f"{worst('differ', slice(0, 1))} % of sweeps for equal onsets, and in at most "
        f"{worst('differ', slice(limit, limit + 1))} % at the limit.",
        "",
        "Where concentration has no spread over seeds (the factor 1), the comparison "
        "is not exact. In every cell, the interval of a ratio contains the true ratio "
        f"in at least {100 * covered:.1f} % of cases.",
        "",
        f"With the spread {agreement.SPREAD:g}, equal onsets are said to coincide in "
        f"at least {100 * REACHED:.0f} % of sweeps {_reached(tables, replicates)}.",
        "",
        "### Seed by seed, or interval by interval",
        "",
        "The same sweeps. *Coverage* is that of each part's own interval, in percent; "
        "*width* is the median factor between the ends of the interval of a ratio, "
        "seed by seed as above, or from the ends of two intervals. The last columns "
        "are for the rule that compares intervals, which is used for onsets of "
        "different sweeps (`compare_onsets`). It has no tolerance, so how far apart "
        'onsets may be to "coincide" depends on the axis and the seeds: at the factor '
        f"{TOLERANCE:g} it says so of up to {_percent(loosest, replicates)} %.",
        "",
        *_interval_rows(tables, replicates),
        "",
    ]
    return "\n".join(lines)


def _percent(count: int, of: int) -> str:
    low, high = fraction_interval(count, of)
    return f"{100 * count / of:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _setting(setting: Setting) -> str:
    spreads = ", ".join(f"{each:g}" for each in dict.fromkeys(setting.spreads))
    return f"{setting.step:.3g} | {spreads} | {setting.correlation:g} | {setting.units}"


def _verdict_rows(tables: AgreementTables, replicates: int, verdict: str) -> list[str]:
    factors = " | ".join(f"factor {factor:g}" for factor in agreement.FACTORS)
    rows = [f"| step | spread | correlation | seeds | {factors} |", "|---" * 9 + "|"]
    for setting, cells in tables.verdicts.items():
        shown = [_percent(getattr(cell, verdict), replicates) for cell in cells]
        rows.append(f"| {_setting(setting)} | {' | '.join(shown)} |")
    return rows


def _interval_rows(tables: AgreementTables, replicates: int) -> list[str]:
    rows = [
        "| step | spread | correlation | seeds | true factor | coverage "
        "| width, by seed | width, by interval | coincide | differ |",
        "|---" * 10 + "|",
    ]
    for setting, cells in tables.intervals.items():
        for factor, cell in zip(agreement.INTERVAL_FACTORS, cells, strict=True):
            paired = tables.verdicts[setting][agreement.FACTORS.index(factor)]
            rows.append(
                f"| {_setting(setting)} | {factor:g} "
                f"| {100 * cell.covered / (3 * replicates):.1f} | {paired.width:.2f} "
                f"| {cell.width:.2f} | {_percent(cell.coincide, replicates)} "
                f"| {_percent(cell.differ, replicates)} |"
            )
    return rows


def _reached(tables: AgreementTables, replicates: int) -> str:
    """From how many seeds "coincide" is within reach, for each axis."""
    told = []
    for step, correlation in itertools.product(agreement.STEPS, agreement.CORRELATIONS):
        settings = [Setting(step, correlation, units) for units in agreement.UNITS]
        enough = [
            setting.units
            for setting in settings
            if tables.verdicts[setting][0].coincide >= REACHED * replicates
        ]
        least = f"from {enough[0]} seeds" if enough else "with none of these numbers"
        told.append(f"{least} with the step {step:.3g} and correlation {correlation:g}")
    return "; ".join(told)
