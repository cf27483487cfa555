"""The coverage study as Markdown; each sentence about a number is built from it."""

import math
from collections.abc import Callable
from typing import Any

from sweeps.studies.coverage import SCENARIOS, UNITS, VALUES, CoverageCell

LEAST, MOST = 0.90, 0.98
"""Target range of the coverage of an interval of 95 %."""
ENOUGH = 8
"""Number of seeds from which the target range is expected to hold."""

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
