"""New values fall where they narrow the interval, and nowhere else."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps.inference.onset import Onset, estimate_onset
from sweeps.inference.refine import (
    closed,
    next_values,
    stop_reason,
    undecided_stretch,
    width,
)
from sweeps.main import main
from sweeps.report.refinement import GRID, TARGET
from sweeps.studies.refinement import (
    ADDED,
    FIRST,
    ROUNDS,
    SEEDS,
    UNITS,
    VALUES,
    Drawn,
    refine,
    simulate,
)
from tests import ROOT

GRID_VALUES = np.exp(np.arange(VALUES, dtype=float))
NOTHING = Onset(None, None, None, None, None, None, (), (), 8)
thresholds = st.lists(st.floats(0.5, VALUES - 1.5), min_size=4, max_size=20)


def below(values: np.ndarray, at: list[float]) -> np.ndarray:
    return (np.log(values) < np.asarray(at)[:, None]).astype(float)


def bracket(values: np.ndarray, onset: Onset) -> tuple[float, float]:
    """The values tried that close the interval on either side."""
    low, high = closed(onset)
    slack = 1 + 1e-9
    return values[values <= low * slack].max(), values[values * slack >= high].min()


@settings(deadline=None)  # on a busy machine an estimate takes its time
@given(thresholds, st.integers(1, 12), st.sampled_from([1.0, -1.0]))
def test_values_are_new_sorted_and_in_the_end_gaps(
    at: list[float], count: int, sign: float
) -> None:
    outcome = below(GRID_VALUES, at)
    onset = estimate_onset(GRID_VALUES, outcome if sign > 0 else 1 - outcome)
    new = np.asarray(next_values(onset, np.append(0.0, GRID_VALUES), count))
    if closed(onset) is None:
        assert not len(new)
        return
    assert len(new) == count
    assert (np.diff(new.astype(np.float32)) > 0).all()
    assert not np.isin(new, GRID_VALUES).any()
    low, high = bracket(GRID_VALUES, onset)
    assert (low < new).all()
    assert (new < high).all()
    stretch = undecided_stretch(onset, GRID_VALUES)
    if stretch:
        assert not ((stretch[0] <= new) & (new <= stretch[1])).any()


@settings(deadline=None)  # on a busy machine an estimate takes its time
@given(thresholds, st.integers(1, 5))
def test_rounds_never_widen_the_bracket_and_keep_the_floor(
    at: list[float], count: int
) -> None:
    values = GRID_VALUES
    onset = estimate_onset(values, below(values, at))
    for _ in range(3):
        if stop_reason(onset, values, 1e-3):
            break
        before, stretch = bracket(values, onset), undecided_stretch(onset, values)
        values = np.sort(np.append(values, next_values(onset, values, count)))
        onset = estimate_onset(values, below(values, at))
        after = bracket(values, onset)
        assert before[0] <= after[0] < after[1] <= before[1]
        # A new value that does not decide makes the floor wider, not the bracket less.
        now = undecided_stretch(onset, values)
        left = [
            width(b) - (width(f) if f else 0)
            for b, f in ((before, stretch), (after, now))
        ]
        one_value_opened_a_floor = stretch is None and count == 1
        assert left[1] < left[0] or one_value_opened_a_floor
        if stretch:
            assert now[0] <= stretch[0]
            assert now[1] >= stretch[1]


@pytest.mark.parametrize("count", [1, 3, 5])
def test_a_sharp_onset_narrows_by_one_more_than_the_values_of_each_round(
    count: int,
) -> None:
    values, at = GRID_VALUES, [4.37] * 8
    for rounds in range(4):
        onset = estimate_onset(values, below(values, at))
        # New values are rounded, by up to a twentieth of a step each round.
        wanted = (count + 1.0) ** -rounds
        np.testing.assert_allclose(width(closed(onset)), wanted, rtol=0.1 * rounds)
        assert np.log(onset.low) < 4.37 < np.log(onset.high)
        new = next_values(onset, values, count)
        values = np.sort(np.append(values, new))


def test_at_equal_members_a_sharp_interval_is_three_times_narrower() -> None:
    for rounds, cell in zip(
        ROUNDS, simulate(SEEDS[0], UNITS[0], 5, seed=1), strict=True
    ):
        assert cell.values == VALUES + ADDED * rounds
        assert cell.ratio >= TARGET
        assert cell.coverage == 1


def test_where_seeds_differ_refinement_ends_at_their_floor() -> None:
    drawn = Drawn(FIRST + np.linspace(0, 2, 8), 0.0, 0)
    onset, count = refine(drawn, np.log(GRID_VALUES), 6)[-1]
    assert count < VALUES + 6 * ADDED
    # With 8 seeds 7 decide: from the 2nd threshold to the 7th.
    np.testing.assert_allclose(drawn.seed_limit(), 2 * 5 / 7, rtol=1e-6)
    assert drawn.seed_limit() <= width(closed(onset)) <= 1.12 * drawn.seed_limit()
    fine = np.linspace(FIRST - 0.1, FIRST + 2.1, 60)
    best = estimate_onset(np.exp(fine), drawn.outcome(fine))
    # Each end is known to a gap of this grid, 2.2 / 59.
    np.testing.assert_allclose(width(closed(best)), drawn.seed_limit(), atol=0.075)


def test_lapses_belong_to_member_and_value() -> None:
    drawn = Drawn(np.full(200, 4.5), 0.3, 7)
    places = np.asarray([1.0, 2.5, 8.0])
    apart = np.concatenate([drawn.outcome(places[i : i + 1]) for i in range(3)], axis=1)
    np.testing.assert_array_equal(drawn.outcome(places), apart)
    assert 0.2 < np.mean(apart != (places < 4.5)) < 0.4


def test_every_reason_to_stop() -> None:
    sharp = estimate_onset(GRID_VALUES, below(GRID_VALUES, [4.5] * 8))
    assert stop_reason(sharp, GRID_VALUES, 0.5) is None
    assert stop_reason(sharp, GRID_VALUES, 1.01) == "width"
    few = estimate_onset(GRID_VALUES, below(GRID_VALUES, [4.5] * 3))
    assert stop_reason(few, GRID_VALUES, 0.5) == "open"
    never = estimate_onset(GRID_VALUES, below(GRID_VALUES, [-1.0] * 8))
    assert stop_reason(never, GRID_VALUES, 0.5) == "censored"
    assert stop_reason(NOTHING, GRID_VALUES, 0.5) == "censored"
    for onset in (few, never, NOTHING):
        assert next_values(onset, GRID_VALUES, 4) == ()
        assert undecided_stretch(onset, GRID_VALUES) is None
    inside = np.sort(np.append(GRID_VALUES, np.exp([3.05, 5.95])))
    at = list(np.linspace(3.04, 5.96, 8))
    wide = dataclasses.replace(sharp, low=np.exp(3.0), high=np.exp(6.0))
    assert stop_reason(wide, inside, 0.5) == "seeds"
    assert stop_reason(estimate_onset(inside, below(inside, at)), inside, 0.5) is None


def test_values_at_which_all_diverged_are_not_tried_again() -> None:
    values = np.sort(np.append(GRID_VALUES, np.exp(4.5)))
    outcome = below(values, [4.7] * 8)
    outcome[:, np.isclose(values, np.exp(4.5))] = np.nan
    onset = estimate_onset(values, outcome)
    new = next_values(onset, values, 4)
    assert len(set(new) | set(values)) == len(values) + 4
    np.testing.assert_allclose(
        np.log(new), [4 + 1 / 6, 4 + 1 / 3, 4.5 + 1 / 6, 4.5 + 1 / 3], atol=1e-3
    )


def test_the_command_writes_the_document(tmp_path: Path) -> None:
    path = tmp_path / "refinement.md"
    assert main(["refinement", "--replicates=1", f"--output={path}"]) == 0
    text = path.read_text()
    assert "onset refinement --replicates=1 --seed=0" in text
    assert text.count("| sharp | 8 |") == 3


@pytest.mark.parametrize(
    ("flag", "named"), [("--replicates=0", "replicates=0"), ("--output=/no/x", "/no/x")]
)
def test_bad_flags_are_refused(
    flag: str, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["refinement", flag]) == 2
    assert named in capsys.readouterr().err


def test_the_committed_study_meets_its_target() -> None:
    """Its own table: three times narrower wherever only the grid is the limit."""
    text = (ROOT / "docs/refinement.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \| (\d+) \| ([\d.–]+) \| (.*×\)) \|$", text, re.M)
    assert [(name, int(units)) for name, units, _, _ in rows] == [
        (seeds.name, units) for seeds in SEEDS for units in UNITS
    ]
    limited = 0
    for name, _, least, cells in rows:
        for cell in cells.split(" | "):
            refined, uniform, ratio = map(float, re.findall(r"\d+\.\d+", cell))
            if least != "–" and float(least) <= GRID * uniform:
                limited += 1
                assert ratio >= TARGET, (name, cell)
            if least != "–":
                assert refined >= 0.9 * float(least)
    assert limited >= 9
    assert f"{limited} of {limited} cells" in " ".join(text.split())
