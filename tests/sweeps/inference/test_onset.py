"""The critical value: recovered where it exists, censored where it does not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps.inference.likelihood import change_bounds, is_monotone, signed_roots
from sweeps.inference.onset import estimate_onset, fraction_interval

VALUES = np.concatenate([[0.0], np.geomspace(0.03, 3, 9)])


def collapsed_below(thresholds: list[float]) -> np.ndarray:
    return (VALUES[None] < np.asarray(thresholds)[:, None]).astype(float)


def test_equal_thresholds_give_the_gap_of_the_grid() -> None:
    onset = estimate_onset(VALUES, collapsed_below([0.2] * 8))
    gap = VALUES[VALUES < 0.2].max(), VALUES[VALUES > 0.2].min()
    assert gap[0] < onset.estimate < gap[1]
    # Inside the gap the data cannot tell: it is the interval, no more and no less.
    np.testing.assert_allclose([onset.low, onset.high], gap)
    assert (onset.direction, onset.censored, onset.units) == ("falling", None, 8)
    assert len(onset.crossings) == 1
    assert onset.undecided == ()


@pytest.mark.parametrize("odd", [0.04, 2.0])
def test_one_seed_elsewhere_moves_neither_gap_nor_estimate_far(odd: float) -> None:
    onset = estimate_onset(VALUES, collapsed_below([0.2] * 7 + [odd]))
    gap = np.log([VALUES[VALUES < 0.2].max(), VALUES[VALUES > 0.2].min()])
    np.testing.assert_allclose(np.log([onset.low, onset.high]), gap)
    share = (np.log(onset.estimate) - gap[0]) / (gap[1] - gap[0])
    assert 0.1 < share < 0.9  # not at the gap's edge


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


def test_change_bounds_and_monotony_skip_unknown_values() -> None:
    nan = np.nan
    outcome = np.asarray([[1, nan, 0, 0], [1, 1, 1, 1], [nan, 0, nan, 0]])
    np.testing.assert_array_equal(change_bounds(outcome), [[0, 2], [3, 4], [-1, 1]])
    assert is_monotone(outcome)
    assert not is_monotone(np.asarray([[1.0, 0, nan, 1]]))


def test_signed_roots_are_the_binomial_likelihood_ratio() -> None:
    collapsed, known = np.asarray([7, 1, 4, 8, 3]), np.asarray([8, 8, 8, 8, 3])
    p = collapsed[:3] / 8
    deviance = 2 * 8 * (p * np.log(2 * p) + (1 - p) * np.log(2 * (1 - p)))
    roots = signed_roots(collapsed, known)
    np.testing.assert_allclose(roots[:3], np.sign(p - 0.5) * np.sqrt(deviance))
    np.testing.assert_allclose(roots[3], np.sqrt(16 * np.log(2)))
    assert roots[4] == 0  # three seeds decide nothing


@pytest.mark.parametrize("units", [1, 2, 3])
def test_very_few_seeds_have_an_estimate_and_no_interval(units: int) -> None:
    onset = estimate_onset(VALUES, collapsed_below([0.2] * units))
    assert onset.low is onset.high is None
    assert 0.1 < onset.estimate < 0.35
    assert len(onset.undecided) == 9


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_one_value_is_censored(outcome: float) -> None:
    onset = estimate_onset(np.asarray([0.1]), np.full((8, 1), outcome))
    assert onset.censored == ("all" if outcome else "none")
    assert onset.estimate is None


def test_censoring_says_where_it_is_not_firm() -> None:
    firm = estimate_onset(VALUES, collapsed_below([10.0] * 8))
    assert firm.undecided == ()
    loose = estimate_onset(VALUES, collapsed_below([10.0] * 6 + [0.2, 0.2]))
    assert loose.censored == "all"
    assert min(loose.undecided) > 0.2


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


def test_every_crossing_is_listed_with_its_own_interval() -> None:
    values = np.geomspace(0.1, 1e4, 6)
    window = np.tile(np.asarray([0.0, 1, 1, 1, 0, 0]), (8, 1))
    onset = estimate_onset(values, window)
    rises, falls = onset.crossings
    assert (rises.direction, falls.direction) == ("rising", "falling")
    places = [rises.low, rises.value, rises.high, falls.low, falls.value, falls.high]
    np.testing.assert_allclose(np.log10(places), [-1, -0.5, 0, 2, 2.5, 3], atol=1e-9)
    assert onset.direction == "falling"  # more is collapsed at small values
    assert 100 < onset.estimate < 1000


def test_a_stretch_at_one_half_is_crossed_in_its_middle() -> None:
    outcome = np.zeros((8, 5))
    outcome[:, 0] = 1
    outcome[:4, 1:4] = 1
    (crossing,) = estimate_onset(np.geomspace(1, 1e4, 5), outcome).crossings
    np.testing.assert_allclose(crossing.value, 100)
    assert crossing.low == 1
    np.testing.assert_allclose(crossing.high, 1e4)


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
    if onset.estimate is None:
        assert onset.low is onset.high is onset.midpoint is onset.direction is None
        return
    # Never extrapolated: everything lies inside the axis.
    for place in (onset.low, onset.high, onset.midpoint):
        assert place is None or axis[0] * 0.999999 <= place <= axis[-1] * 1.000001
    assert axis[0] <= onset.estimate <= axis[-1]
    assert onset.low is None or onset.low <= onset.estimate * (1 + 1e-9)
    assert onset.high is None or onset.high >= onset.estimate * (1 - 1e-9)
    assert onset.direction in {crossing.direction for crossing in onset.crossings}


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), units=st.integers(2, 10))
def test_mirror_images_have_mirrored_answers(seed: int, units: int) -> None:
    generator = np.random.default_rng(seed)
    thresholds = 2 + 6 * generator.random(units)
    outcome = (np.arange(10) < thresholds[:, None]).astype(float)
    axis = np.exp(np.arange(10.0) - 4.5)
    falling = estimate_onset(axis, outcome)
    rising = estimate_onset(axis, outcome[:, ::-1])
    np.testing.assert_allclose(rising.estimate, 1 / falling.estimate, rtol=1e-5)
    for end, other in ((rising.low, falling.high), (rising.high, falling.low)):
        assert (end is None) == (other is None)
        if end is not None:
            np.testing.assert_allclose(end, 1 / other, rtol=1e-5)
