"""The refinement study as Markdown; every sentence about a number is made from it."""

import math
from collections.abc import Callable

from scipy import stats

from sweeps.studies.refinement import (
    ADDED,
    FIRST,
    ROUNDS,
    UNITS,
    VALUES,
    RefinementCell,
    enough,
)

TARGET = 3.0
GRID = 0.1
"""Largest floor, over the uniform grid's width, at which only the grid is the limit."""

Table = dict[tuple[str, int], list[RefinementCell]]
Cell = tuple[str, int, int, RefinementCell]
"""Name of the seeds, how many, rounds, and what came out."""

INTRODUCTION = """# How much narrower does refinement make the interval?

Written by

    onset refinement --replicates={replicates} --seed={seed} --output=docs/refinement.md

Seeds with known thresholds are swept twice from **as many members**: a first grid of
{values} values refined in rounds of {added} (`sweep.refine.num`), and a uniform grid of
{totals} values over the same range. Both use the functions that `onset sweep` uses
(`sweeps/inference/refine.py` and `onset.py` beside it) and the same seeds. Lengths are
in gaps of the first grid; the onset lies uniformly {first:g} to {last:g} gaps after its
first value. Each cell is {replicates} sweeps. Refinement may stop before its rounds are
spent; the uniform grid then has more members than it.

Thresholds are normal around the onset, *sd* in gaps; with *lapses* one member in twenty
gives the opposite outcome. The **floor** is the interval that endlessly many values
would give with the same seeds: from the threshold at which enough seeds are collapsed
to decide, to the one at which few enough are. No placement of values goes below it;
more seeds do. (With lapses there is none that can be written down.)

## Median width: refined / uniform (how many times narrower)
"""


def render(table: Table, replicates: int, seed: int) -> str:
    """The document.

    Args:
      table: name and number of seeds to one tally for each of `ROUNDS`.
      replicates: sweeps of each tally.
      seed: of the study.
    """
    introduction = INTRODUCTION.format(
        replicates=replicates,
        seed=seed,
        values=VALUES,
        added=ADDED,
        totals=_listed([str(VALUES + ADDED * rounds) for rounds in ROUNDS]),
        first=FIRST,
        last=FIRST + 2,
    )
    sections = [
        introduction.rstrip(),
        "",
        *_rows(table, _widths, floor=True),
        "",
        *_verdict(table),
        "",
        "## Coverage of the 95 % interval, in percent: refined / uniform",
        "",
        *_rows(
            table, lambda t: f"{100 * t.coverage:.0f} / {100 * t.uniform_coverage:.0f}"
        ),
        "",
        f"Standard error {100 * math.sqrt(0.95 * 0.05 / replicates):.1f} points. "
        + _least(table)
        + " A wide gap holds the truth more often than the interval says; refinement "
        "takes that gap away and leaves the interval of a sign test on the thresholds, "
        f"which by calculation holds their median in {_calculated()}.",
        "",
        "## Values trained, on average",
        "",
        *_rows(table, lambda t: f"{t.values:.1f}"),
        "",
    ]
    return "\n".join(sections)


def _rows(
    table: Table, show: Callable[[RefinementCell], str], floor: bool = False
) -> list[str]:
    rounds = [f"{count} round{'s' * (count > 1)}" for count in ROUNDS]
    heads = ["thresholds", "seeds", *["floor"] * floor, *rounds]
    rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for (name, units), tallies in table.items():
        least = ["–" if math.isnan(tallies[0].floor) else f"{tallies[0].floor:.3f}"]
        cells = [name, str(units), *least * floor, *map(show, tallies)]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _widths(tally: RefinementCell) -> str:
    return f"{tally.refined:.3f} / {tally.uniform:.3f} ({tally.ratio:.1f}×)"


def _verdict(table: Table) -> list[str]:
    """Where the grid limits the uniform interval, where the seeds do, and between."""
    cells: list[Cell] = [
        (name, units, rounds, tally)
        for (name, units), tallies in table.items()
        for rounds, tally in zip(ROUNDS, tallies, strict=True)
        if not math.isnan(tally.floor)
    ]
    grid = [c for c in cells if c[3].floor <= GRID * c[3].uniform]
    seeds = [c for c in cells if c[3].floor * TARGET > c[3].uniform]
    between = [c for c in cells if c not in grid and c not in seeds]
    reached = [c for c in grid if c[3].ratio >= TARGET]
    lines = [
        f"- **The grid is the limit** (floor at most a tenth of the uniform width): "
        f"{_range(grid)}; {len(reached)} of {len(grid)} cells are at least "
        f"{TARGET:g} times narrower.",
        f"- **The seeds are the limit** (floor more than a third of the uniform width, "
        f"so that {TARGET:g} times is out of reach): {_range(seeds)}. After the last "
        f"round intervals are {_above_floor(seeds)} times their floor: what is left is "
        "the spread over seeds, and a refined sweep says so.",
        f"- **Between**: {_range(between)}.",
    ]
    missed = [
        f"{c[0]}, {c[1]} seeds, {c[2]} round(s)" for c in grid if c not in reached
    ]
    return lines + [f"- Missed: {'; '.join(missed)}."] * bool(missed)


def _range(cells: list[Cell]) -> str:
    if not cells:
        return "no cell"
    ratios = [cell[3].ratio for cell in cells]
    return f"{len(cells)} cells, {min(ratios):.1f} to {max(ratios):.1f} times narrower"


def _above_floor(cells: list[Cell]) -> str:
    ratios = [
        cell[3].refined / cell[3].floor for cell in cells if cell[2] == ROUNDS[-1]
    ]
    return f"{min(ratios):.2f} to {max(ratios):.2f}" if ratios else "–"


def _least(table: Table) -> str:
    (name, units), worst = min(
        ((key, t) for key, tallies in table.items() for t in tallies),
        key=lambda pair: pair[1].coverage,
    )
    return (
        f"The least coverage is {100 * worst.coverage:.1f} % ({name}, {units} seeds)."
    )


def _calculated() -> str:
    """Coverage of the interval from endlessly many values, by binomial counts."""
    shares = [1 - 2 * stats.binom.cdf(n - enough(n), n, 0.5) for n in UNITS]
    pairs = zip(shares, UNITS, strict=True)
    return " and ".join(f"{100 * share:.1f} % with {n} seeds" for share, n in pairs)


def _listed(items: list[str]) -> str:
    return f"{', '.join(items[:-1])} or {items[-1]}"
