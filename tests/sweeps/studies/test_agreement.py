"""How often parts are said to coincide or to differ, on simulated thresholds."""

import re

import numpy as np
import pytest

from sweeps.inference.agreement import TOLERANCE
from sweeps.inference.onset import fraction_interval
from sweeps.studies.agreement import (
    FACTORS,
    PARTS,
    SETTINGS,
    SPREAD,
    STEPS,
    Setting,
    estimate_intervals,
    judge,
)
from tests import ROOT

SPARSE = Setting(STEPS[0], 0.5, 16)
DENSE = Setting(STEPS[1], 0.5, 16)


def test_thresholds_are_drawn_as_described() -> None:
    """Medians, spread and correlation of 4000 seeds, read off a fine grid."""
    setting = Setting(1.02, 0.5, 4000)
    drawn = setting.draw(np.random.default_rng(0), 4.0)
    first, middle, last = (drawn.truth[part] for part in PARTS)
    np.testing.assert_allclose([middle / first, last / middle], 2)
    start = np.log(setting.values[0])
    steps = np.stack([drawn.outcomes[part].sum(1) for part in PARTS])
    places = start + (steps - 0.5) * np.log(setting.step)
    medians = np.exp(np.median(places, axis=1))
    np.testing.assert_allclose(medians, [first, middle, last], rtol=0.03)
    np.testing.assert_allclose(places.std(1), np.log(SPREAD), rtol=0.05)
    matrix = np.corrcoef(places)[np.triu_indices(3, 1)]
    np.testing.assert_allclose(matrix, 0.5, atol=0.05)


@pytest.mark.parametrize(
    ("factor", "most_coincide", "most_differ"),
    [(1.0, 100, 0), (TOLERANCE, 5, 5), (3.0, 0, 100)],
)
def test_false_alarms_are_rare(
    factor: float, most_coincide: int, most_differ: int
) -> None:
    cell, _ = judge(DENSE, factor, 100, seed=1)
    assert cell.coincide <= most_coincide
    assert cell.differ <= most_differ
    assert cell.covered >= 285


def test_a_finer_axis_brings_both_verdicts_within_reach() -> None:
    said = [judge(each, 1.0, 50, seed=1)[0].coincide for each in (SPARSE, DENSE)]
    assert said[0] < said[1] >= 45
    assert judge(DENSE, 4.0, 50, seed=1)[0].differ >= 45


def test_each_part_keeps_the_coverage_of_its_own_interval() -> None:
    _, sweeps = judge(SPARSE, 2.0, 20, seed=1)
    assert estimate_intervals(SPARSE, sweeps).covered >= 54


def test_the_committed_tables_bear_out_their_sentences() -> None:
    text = (ROOT / "docs/coverage.md").read_text()
    found = re.findall(
        r"^\| [\d.]+ \| [^|]+ \| 0[^|]* \| \d+ \|(.*\[.*) \|$", text, re.MULTILINE
    )
    rows = [
        [float(cell.split()[0]) for cell in row.split(" | ")]
        for row in found
        if row.count("|") == len(FACTORS) - 1
    ]
    assert len(rows) == 2 * len(SETTINGS)
    coincide, differ = np.split(np.asarray(rows), 2)
    limit = FACTORS.index(TOLERANCE)
    for table, where in (
        (coincide, slice(limit, limit + 1)),
        (coincide, slice(limit + 1, None)),
        (differ, slice(0, 1)),
        (differ, slice(limit, limit + 1)),
    ):
        worst = table[:, where].max()
        low, high = fraction_interval(round(10 * worst), 1000)
        said = f"{worst:.1f} [{100 * low:.1f}, {100 * high:.1f}] %"
        assert f"at most {said}" in text
    assert (coincide + differ <= 100).all()
