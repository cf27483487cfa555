"""The interval holds the truth about as often as it says, on simulated onsets."""

import re
from pathlib import Path

import numpy as np
import pytest

from sweeps.inference.onset import estimate_onset
from sweeps.main import main
from sweeps.report.coverage import render
from sweeps.studies.coverage import SCENARIOS, UNITS, VALUES, holds, simulate
from tests import ROOT

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
AXIS = np.exp(np.arange(VALUES, dtype=float))


@pytest.mark.parametrize("name", [s.name for s in SCENARIOS if s.group == "inside"])
def test_eight_seeds_hold_the_truth(name: str) -> None:
    """150 sweeps: a true coverage of 93 % stays above 85 % but 1 time in 1000."""
    assert simulate(BY_NAME[name], 8, 150, seed=1).coverage >= 0.85


def test_a_narrower_interval_would_be_noticed() -> None:
    """The study can fail: a third of each interval's width covers far too little."""
    generator, scenario = np.random.default_rng(0), BY_NAME["shallow"]
    covered = 0
    for _ in range(100):
        place = 4.5 + 2 * generator.random()
        onset = estimate_onset(AXIS, scenario.draw(generator, 8, place))
        if onset.low and onset.high:
            middle, half = np.log(onset.estimate), np.log(onset.high / onset.low) / 6
            covered += abs(place - middle) <= half
    assert covered < 75


def test_a_sharp_onset_is_as_uncertain_as_its_gap() -> None:
    tally = simulate(BY_NAME["sharp"], 8, 50, seed=0)
    assert tally.coverage == 1
    np.testing.assert_allclose(tally.width, 1, rtol=1e-6)
    assert abs(tally.bias) < 0.15


def test_scenarios_cross_where_they_say() -> None:
    """The population's fraction is one half at the truth, by 4000 seeds each."""
    generator = np.random.default_rng(0)
    for scenario in SCENARIOS:
        # Thresholds sharper than the grid show nothing between its values.
        if scenario.offset is None or scenario.group == "outside":
            continue
        place = 6.0 - scenario.offset
        outcome = scenario.draw(generator, 4000, place)
        above, below = np.nanmean(outcome[:, 5]), np.nanmean(outcome[:, 7])
        assert above > 0.5 > below, scenario.name
        smooth = scenario.name in ("medium", "shallow", "very shallow", "diverged")
        if smooth or scenario.name in ("skewed", "lapses", "not monotone"):
            # Four standard errors of a fraction of 3400 seeds.
            assert abs(np.nanmean(outcome[:, 6]) - 0.5) < 0.035, scenario.name


def test_what_counts_as_right() -> None:
    closed = estimate_onset(AXIS, (np.full((8, 1), 5.5) > np.arange(12)).astype(float))
    assert holds(closed, AXIS, float(np.exp(5.5)))
    assert not holds(closed, AXIS, float(np.exp(6.5)))
    assert not holds(closed, AXIS, None)
    nothing = estimate_onset(AXIS, np.zeros((8, 12)))
    assert holds(nothing, AXIS, None)
    assert holds(nothing, AXIS, float(np.exp(-1.0)))
    assert not holds(nothing, AXIS, float(np.exp(5.5)))
    loose = estimate_onset(AXIS, np.eye(8, 12) + np.eye(8, 12)[::-1])
    assert loose.censored == "none"
    assert holds(loose, AXIS, float(np.exp(3.5)))


def test_the_command_writes_the_document(tmp_path: Path) -> None:
    path = tmp_path / "coverage.md"
    assert main(["coverage", "--replicates=1", f"--output={path}"]) == 0
    text = path.read_text()
    assert "onset coverage --replicates=1 --seed=0" in text
    for scenario in SCENARIOS:
        assert text.count(f"| {scenario.name} |") == 3 - (scenario.group == "outside")
    assert text.count("\n| 1.5 | 1.35 | 0.9 | 32 |") == 4


def test_the_committed_document_is_of_this_study() -> None:
    """Same scenarios, same seeds, and its verdict follows from its own table."""
    text = (ROOT / "docs/coverage.md").read_text()
    rows = dict(re.findall(r"^\| ([^|]+) \| ([\d. |]+) \|$", text, flags=re.MULTILINE))
    assert set(rows) == set(BY_NAME)
    coverage = np.asarray(
        [[float(cell) for cell in rows[s.name].split(" | ")] for s in SCENARIOS]
    )
    inside = [s.group == "inside" for s in SCENARIOS]
    enough = coverage[inside][:, [units >= 8 for units in UNITS]]
    assert (enough >= 90).all()
    inside_range = int(((enough >= 90) & (enough <= 98)).sum())
    assert f"{inside_range} of {enough.size}" in " ".join(text.split())
    cells = re.findall(r"^\| ([^|]+) \| (.*\(\d\.\d\d\)) \|$", text, flags=re.MULTILINE)
    biases = [float(c.split(" ")[0]) for _, row in cells for c in row.split(" | ")[2:]]
    assert f"the largest bias is {max(biases, key=abs):+.2f} gaps" in text


@pytest.mark.parametrize(
    ("flag", "named"),
    [
        ("--replicates=0", "replicates=0"),
        ("--seed=-1", "seed=-1"),
        ("--output=/no/x", "/no/x"),
    ],
)
def test_bad_flags_are_refused(
    flag: str, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["coverage", flag]) == 2
    assert named in capsys.readouterr().err


def test_a_cell_below_the_target_is_named() -> None:
    tally = simulate(BY_NAME["sharp"], 8, 1, seed=0)
    worse = type(tally)(**{**vars(tally), "coverage": 0.5})
    table = {s.name: [tally] * len(UNITS) for s in SCENARIOS}
    table["medium"] = [worse] * len(UNITS)
    text = render(table, 1, 0)
    assert "Below 90 %: medium (50.0 with 8, 50.0 with 12, 50.0 with 20)" in text
