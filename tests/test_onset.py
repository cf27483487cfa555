"""The critical value: recovered where it exists, censored where it does not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps.onset import (
    change_bounds,
    estimate_onset,
    fraction_interval,
    raw_crossings,
)

VALUES = np.concatenate([[0.0], np.geomspace(0.03, 3, 9)])


def collapsed_below(thresholds: list[float]) -> np.ndarray:
    return (VALUES[None] < np.asarray(thresholds)[:, None]).astype(float)


def test_equal_thresholds_give_the_gap_of_the_grid() -> None:
    onset = estimate_onset(VALUES, collapsed_below([0.2] * 8))
    gap = VALUES[VALUES < 0.2].max(), VALUES[VALUES > 0.2].min()
    assert gap[0] < onset.estimate < gap[1]
    # Not narrower than the gap: inside it the data cannot tell.
    assert onset.low <= gap[0] * 1.03
    assert onset.high >= gap[1] * 0.97
    assert (onset.direction, onset.censored, onset.units) == ("falling", None, 8)
    assert len(onset.crossings) == 1


def test_rising_curves_mirror_falling_ones() -> None:
    falling = estimate_onset(VALUES, collapsed_below([0.2] * 8))
    rising = estimate_onset(VALUES, 1 - collapsed_below([0.2] * 8))
    assert rising.direction == "rising"
    np.testing.assert_allclose(
        [rising.low, rising.estimate, rising.high],
        [falling.low, falling.estimate, falling.high],
        rtol=1e-6,
    )


@pytest.mark.parametrize(("threshold", "censored"), [(10.0, "all"), (0.0, "none")])
def test_an_onset_outside_the_range_is_censored(
    threshold: float, censored: str
) -> None:
    onset = estimate_onset(VALUES, collapsed_below([threshold] * 8))
    assert onset.censored == censored
    assert onset.estimate is onset.low is onset.high is onset.midpoint is None


def test_seeds_that_never_collapse_open_the_interval() -> None:
    """6 of 8 is not enough to exclude that half of all seeds never collapse."""
    onset = estimate_onset(VALUES, collapsed_below([0.0, 0.0] + [0.2] * 6))
    assert onset.low is None
    assert onset.high is not None
    certain = estimate_onset(VALUES, collapsed_below([0.2] * 8))
    assert certain.low is not None


def test_more_seeds_narrow_the_interval() -> None:
    spread = list(np.geomspace(0.05, 1, 7))
    few, many = (estimate_onset(VALUES, collapsed_below(spread * n)) for n in (1, 5))
    assert many.high / many.low < few.high / few.low


def test_a_pattern_that_is_not_monotone_widens_its_own_bounds() -> None:
    outcome = np.asarray([[1, 0, 1, 0, 0], [1, 1, 1, 0, 0], [0, 1, 1, 1, 1]], float)
    np.testing.assert_array_equal(change_bounds(outcome), [[0, 3], [2, 3], [-1, 5]])


def test_diverged_members_are_gaps_not_outcomes() -> None:
    outcome = collapsed_below([0.2] * 8)
    outcome[0, 4:6] = np.nan
    onset = estimate_onset(VALUES, outcome)
    assert 0.1 < onset.estimate < 0.35
    outcome[:] = np.nan
    empty = estimate_onset(VALUES, outcome)
    assert empty.estimate is None
    assert empty.censored is None
    assert empty.units == 0


def test_zero_is_an_asymptote_not_a_point_of_the_fit() -> None:
    outcome = collapsed_below([0.2] * 8)
    base = estimate_onset(VALUES, outcome)
    outcome[:, 0] = 0
    assert estimate_onset(VALUES, outcome) == base


def test_every_crossing_is_listed() -> None:
    values = np.asarray([0.1, 1.0, 10.0, 100.0])
    np.testing.assert_allclose(
        raw_crossings(values, np.asarray([0.0, 1.0, 1.0, 0.0])),
        [10**-0.5, 10**1.5],
    )
    assert raw_crossings(values, np.asarray([1.0, 0.5, 0.0, 0.0])) == (1.0,)
    assert raw_crossings(values, np.ones(4)) == ()


def test_fraction_interval_is_exact() -> None:
    low, high = fraction_interval(8, 8)
    np.testing.assert_allclose(low, 0.025 ** (1 / 8), rtol=1e-6)
    assert high == 1.0
    assert fraction_interval(0, 0) == (0.0, 1.0)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**31 - 1),
    units=st.integers(2, 10),
    values=st.integers(1, 6),
)
def test_any_outcome_gives_an_ordered_answer(
    seed: int, units: int, values: int
) -> None:
    generator = np.random.default_rng(seed)
    outcome = generator.integers(0, 2, (units, values)).astype(float)
    outcome[generator.random(outcome.shape) < 0.1] = np.nan
    axis = np.geomspace(0.1, 10, values)
    onset = estimate_onset(axis, outcome)
    if onset.estimate is not None:
        assert axis[0] * 0.9 <= onset.estimate <= axis[-1] * 1.1
        assert onset.low is None or onset.low <= onset.estimate * (1 + 1e-9)
        assert onset.high is None or onset.high >= onset.estimate * (1 - 1e-9)
