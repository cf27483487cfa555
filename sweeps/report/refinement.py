"""The refinement study as Markdown; each sentence about a number is built from it."""

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
"""Factor by which refinement should narrow the interval where the grid is the limit."""
GRID = 0.1
"""Largest ratio of seed limit to uniform width at which only the grid is the limit."""

Table = dict[tuple[str, int], list[RefinementCell]]
Cell = tuple[str, int, int, RefinementCell]
"""Name of the kind of seeds, number of seeds, number of rounds, and the result."""

INTRODUCTION = """# How much narrower does refinement make the interval?

This document is written by

    onset refinement --replicates={replicates} --seed={seed} --output=docs/refinement.md

Each simulated sweep of seeds with known thresholds is run twice with the **same number
of members**: on a first grid of {values} values that is refined in rounds of {added}
values (`sweep.refine.num`), and on a uniform grid of {totals} values over the same
range. Both use the same seeds and the functions that `onset sweep` uses
(`sweeps/inference/refine.py` and `onset.py` beside it). All lengths are in *gaps* of
the first grid. The onset is uniformly distributed {first:g} to {last:g} gaps above the
first value. Each cell of the tables summarises {replicates} simulated sweeps.
Refinement may stop before all rounds are used; the uniform grid then has more members.

Thresholds are normally distributed around the onset, with a standard deviation (*sd*)
in gaps. With *lapses*, one member in twenty has the opposite outcome.

The **seed limit** is the width of the interval that infinitely many values would give
with the same seeds. That interval extends from the threshold below which enough seeds
are collapsed to decide that most are, to the threshold above which few enough are
collapsed to decide that most are not. No placement of values makes the interval
narrower than this; more seeds do. (With lapses there is no simple expression for it.)

## Median width: refined / uniform (factor by which refined is narrower)
"""


def render(table: Table, replicates: int, seed: int) -> str:
    """Renders the document.

    Args:
      table: Name and number of seeds to one cell for each of `ROUNDS`.
      replicates: Number of simulated sweeps in each cell.
      seed: Random seed of the study.
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
        *_rows(table, _widths, limit=True),
        "",
        *_verdict(table),
        "",
        "## Coverage of the 95 % interval, in percent: refined / uniform",
        "",
        *_rows(table, _coverages),
        "",
        "The standard error of a coverage of 95 % is "
        f"{100 * math.sqrt(0.95 * 0.05 / replicates):.1f} percentage points. "
        + _least(table)
        + " An interval that includes a wide gap of the grid has a coverage above "
        "95 %. Refinement removes this gap. What remains is the interval of a sign "
        "test on the thresholds, which by calculation contains their median in "
        f"{_calculated()}.",
        "",
        "## Mean number of values trained",
        "",
        *_rows(table, lambda cell: f"{cell.values:.1f}"),
        "",
    ]
    return "\n".join(sections)


def _rows(
    table: Table, show: Callable[[RefinementCell], str], limit: bool = False
) -> list[str]:
    rounds = [f"{count} round{'s' * (count > 1)}" for count in ROUNDS]
    heads = ["thresholds", "seeds", *["seed limit"] * limit, *rounds]
    rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for (name, units), cells in table.items():
        least = cells[0].seed_limit
        shown = ["–" if math.isnan(least) else f"{least:.3f}"] * limit
        row = [name, str(units), *shown, *map(show, cells)]
        rows.append(f"| {' | '.join(row)} |")
    return rows


def _widths(cell: RefinementCell) -> str:
    return f"{cell.refined:.3f} / {cell.uniform:.3f} ({cell.ratio:.1f}×)"


def _coverages(cell: RefinementCell) -> str:
    return f"{100 * cell.coverage:.0f} / {100 * cell.uniform_coverage:.0f}"


def _verdict(table: Table) -> list[str]:
    """In which cells the grid limits the uniform interval, in which the seeds do."""
    cells: list[Cell] = [
        (name, units, rounds, result)
        for (name, units), results in table.items()
        for rounds, result in zip(ROUNDS, results, strict=True)
        if not math.isnan(result.seed_limit)
    ]
    grid = [c for c in cells if c[3].seed_limit <= GRID * c[3].uniform]
    seeds = [c for c in cells if c[3].seed_limit * TARGET > c[3].uniform]
    between = [c for c in cells if c not in grid and c not in seeds]
    reached = [c for c in grid if c[3].ratio >= TARGET]
    lines = [
        "- **The grid is the limit** (the seed limit is at most a tenth of the uniform "
        f"width): {_range(grid)}. In {len(reached)} of {len(grid)} cells they are at "
        f"least {TARGET:g} times narrower.",
        "- **The seeds are the limit** (the seed limit is more than a third of the "
        f"uniform width, so a factor of {TARGET:g} is out of reach): {_range(seeds)}. "
        f"After the last round, the refined intervals are {_above_limit(seeds)} times "
        "the seed limit. Only seed-to-seed variation remains, as the report of a "
        "refined sweep states.",
        f"- **In between**: {_range(between)}.",
    ]
    missed = [
        f"{c[0]}, {c[1]} seeds, {c[2]} round(s)" for c in grid if c not in reached
    ]
    target = f"- The grid is the limit, but the factor is below {TARGET:g}: "
    return lines + [f"{target}{'; '.join(missed)}."] * bool(missed)


def _range(cells: list[Cell]) -> str:
    if not cells:
        return "no cell"
    ratios = [cell[3].ratio for cell in cells]
    return (
        f"{len(cells)} cells, in which refined intervals are {min(ratios):.1f} to "
        f"{max(ratios):.1f} times narrower than uniform ones"
    )


def _above_limit(cells: list[Cell]) -> str:
    ratios = [
        cell[3].refined / cell[3].seed_limit for cell in cells if cell[2] == ROUNDS[-1]
    ]
    return f"{min(ratios):.2f} to {max(ratios):.2f}" if ratios else "–"


def _least(table: Table) -> str:
    (name, units), worst = min(
        ((key, cell) for key, cells in table.items() for cell in cells),
        key=lambda pair: pair[1].coverage,
    )
    return (
        f"The lowest coverage is {100 * worst.coverage:.1f} % ({name}, {units} seeds)."
    )


def _calculated() -> str:
    """Coverage of the interval from infinitely many values, by binomial counts."""
    shares = [1 - 2 * stats.binom.cdf(n - enough(n), n, 0.5) for n in UNITS]
    pairs = zip(shares, UNITS, strict=True)
    return " and ".join(
        f"{100 * share:.1f} % of sweeps with {n} seeds" for share, n in pairs
    )


def _listed(items: list[str]) -> str:
    return f"{', '.join(items[:-1])} or {items[-1]}"
