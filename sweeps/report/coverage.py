"""The coverage study as Markdown; every sentence about a number is made from it."""

import math
from collections.abc import Callable
from typing import Any

from sweeps.studies.coverage import SCENARIOS, UNITS, VALUES, CoverageCell

LEAST, MOST = 0.90, 0.98
ENOUGH = 8

INTRODUCTION = """# Does the interval hold the truth?

Written by

    onset coverage --replicates={replicates} --seed={seed} --output=docs/coverage.md

Members are simulated from known onsets on an axis of {values} values, evenly spaced in
the logarithm; lengths are in *gaps* of that grid. Each cell is {replicates} sweeps
through `estimate_onset` of `sweeps/inference/onset.py`, the function that `onset sweep`
uses (standard error of a coverage of 95 %: {error:.1f} points).

**Truth** is where the population's collapse probability crosses ½ on the continuous
axis, not on the grid. Its place is drawn uniformly over two whole gaps (one at the
edge), so a sharp onset is equally likely anywhere in its gap; only "on a value" fixes
it at the worst place. In "not monotone" P crosses ½ twice and the truth is the falling
crossing. A closed interval must hold the truth; an open end reaches beyond the values
tried, and to "there is no crossing"; a result reported as censored is right for a truth
outside the values, and for one inside only if the seeds are said not to decide there.

## Coverage of the 95 % interval, in percent
"""


def render(table: dict[str, list[CoverageCell]], replicates: int, seed: int) -> str:
    """The document.

    Args:
      table: scenario name to one tally for each of `UNITS`.
      replicates: sweeps of each tally.
      seed: of the study.
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
        *_rows(table, "inside", lambda t: f"{100 * t.coverage:.1f}"),
        "",
        *_verdict(table),
        "",
        "Truth outside the values tried, or none; a miss is an interval closed at an",
        "end where there is no crossing:",
        "",
        *_rows(table, "outside", lambda t: f"{100 * t.coverage:.1f}"),
        "",
        "## Bias (root mean square error) of the estimate, in gaps",
        "",
        *_rows(table, "inside", lambda t: f"{t.bias:+.2f} ({t.error:.2f})"),
        "",
        "Sweeps reported as censored have no estimate and are left out.",
        _most_biased(table),
        "",
        "## Median width of closed intervals, in gaps (percent closed, censored)",
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


def _width(tally: CoverageCell) -> str:
    width = "–" if math.isnan(tally.width) else f"{tally.width:.1f}"
    return f"{width} ({100 * tally.closed:.0f}, {100 * tally.censored:.0f})"


def _rows(
    table: dict[str, list[CoverageCell]],
    group: str | None,
    show: Callable[[CoverageCell], Any],
) -> list[str]:
    head = "| scenario | " + " | ".join(f"{n} seeds" for n in UNITS) + " |"
    rows = [head, "|---" * (len(UNITS) + 1) + "|"]
    for scenario in SCENARIOS:
        if group in (None, scenario.group):
            cells = " | ".join(show(tally) for tally in table[scenario.name])
            rows.append(f"| {scenario.name} | {cells} |")
    return rows


def _verdict(table: dict[str, list[CoverageCell]]) -> list[str]:
    """Which cells from 8 seeds on miss the target range, and by the study's word."""
    inside = [s.name for s in SCENARIOS if s.group == "inside"]
    cells = [
        (name, units, tally.coverage)
        for name in inside
        for units, tally in zip(UNITS, table[name], strict=True)
        if units >= ENOUGH
    ]
    low = [cell for cell in cells if cell[2] < LEAST]
    high = [cell for cell in cells if cell[2] > MOST]
    least = min(cells, key=lambda cell: cell[2])
    return [
        f"From {ENOUGH} seeds on {len(cells) - len(low) - len(high)} of {len(cells)} "
        f"cells lie between {100 * LEAST:.0f} and {100 * MOST:.0f} %; the least is "
        f"{100 * least[2]:.1f} % ({least[0]}, {least[1]} seeds).",
        "",
        f"- Below {100 * LEAST:.0f} %: {_list(low)}.",
        f"- Above {100 * MOST:.0f} %: {_list(high)}.",
        "",
        "Two things make an interval hold the truth more often than it says. Where the "
        "curve is about as steep as the grid or steeper, the gap counts as a whole, "
        "and nothing measured says where in it the crossing is: a finer grid narrows "
        "the interval, more seeds do not. Where one end is mostly open (at the edge of "
        "the values tried, or where P hardly passes ½), only the other end can miss.",
        "",
        "With 3 seeds every end is open: nothing is claimed, so nothing is missed. "
        "Three seeds agree by chance once in eight on either side of ½.",
    ]


def _most_biased(table: dict[str, list[CoverageCell]]) -> str:
    """The worst bias with enough seeds, in words."""
    cells = [
        (scenario.name, units, tally.bias)
        for scenario in SCENARIOS
        if scenario.group == "inside"
        for units, tally in zip(UNITS, table[scenario.name], strict=True)
        if units >= ENOUGH and not math.isnan(tally.bias)
    ]
    if not cells:
        return ""
    name, units, bias = max(cells, key=lambda cell: abs(cell[2]))
    return (
        f"From {ENOUGH} seeds on the largest bias is {bias:+.2f} gaps ({name}, {units} "
        "seeds). Where P stays near ½ over several gaps, the estimate may lie in any "
        "of them, and only the interval should be read."
    )


def _list(cells: list[tuple[str, int, float]]) -> str:
    if not cells:
        return "none"
    found: dict[str, list[str]] = {}
    for name, units, coverage in cells:
        found.setdefault(name, []).append(f"{100 * coverage:.1f} with {units}")
    return "; ".join(f"{name} ({', '.join(each)})" for name, each in found.items())
