"""Whether parts set in together, seed by seed, against references by definition."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from sweeps.inference.agreement import Ratio, combine_verdicts, compare_parts
from sweeps.inference.likelihood import CUTOFF, change_bounds

AXIS = 1.5 ** np.arange(-5.0, 5.0)
OUTCOMES = npst.arrays(
    float, (2, 9, len(AXIS)), elements=st.sampled_from([0.0, 1.0, np.nan])
)
THRESHOLDS = npst.arrays(int, (2, 9), elements=st.integers(0, len(AXIS)))


def below(thresholds: np.ndarray, values: np.ndarray = AXIS) -> np.ndarray:
    return (values < np.asarray(thresholds)[:, None]).astype(float)


def compare(first: np.ndarray, second: np.ndarray, values: np.ndarray = AXIS) -> Ratio:
    return compare_parts(values, {"a": first, "b": second})["a", "b"]


def reference_bounds(row: np.ndarray) -> tuple[int, int]:
    """Encloses all changes that contradict the fewest outcomes, tried one by one."""
    wrong = [
        sum(row[i] == (0 if i < change else 1) for i in range(len(row)))
        for change in range(len(row) + 1)
    ]
    best = [change for change, count in enumerate(wrong) if count == min(wrong)]
    return best[0] - 1, best[-1]


@given(OUTCOMES)
@settings(max_examples=50, deadline=None)
def test_a_seed_changes_where_it_contradicts_the_fewest_outcomes(
    outcomes: np.ndarray,
) -> None:
    expected = [reference_bounds(row) for row in outcomes[0]]
    np.testing.assert_array_equal(change_bounds(outcomes[0]), expected)


def decided(larger: float, units: int) -> bool:
    """Whether the binomial likelihood ratio against one half decides for "larger"."""
    share = larger / units
    if share <= 0.5:
        return False
    ratio = share * math.log(2 * share)
    ratio += (1 - share) * math.log(2 * (1 - share)) if share < 1 else 0.0
    return math.sqrt(2 * units * ratio) >= CUTOFF


@given(THRESHOLDS)
@settings(max_examples=50, deadline=None)
def test_the_interval_has_the_differences_that_a_sign_test_does_not_reject(
    gaps: np.ndarray,
) -> None:
    """In whole gaps of an even grid, ties counting half on either side."""
    first, second = (
        (np.arange(len(AXIS)) < row[:, None]).astype(float) for row in gaps
    )
    last = len(AXIS)
    a, b = gaps
    # A seed without a change inside the axis is only known to lie beyond it.
    least = np.where(b > 0, b - 1, -np.inf) - np.where(a < last, a, np.inf)
    most = np.where(b < last, b, np.inf) - np.where(a > 0, a - 1, -np.inf)
    low, high = None, None
    for shift in range(-last, last + 1):
        if shift not in least and shift not in most:
            continue
        larger, smaller = (least >= shift).sum(), (most <= shift).sum()
        tied = len(a) - larger - smaller
        if decided(larger + tied / 2, len(a)):
            low = 1.5**shift
        if high is None and decided(smaller + tied / 2, len(a)):
            high = 1.5**shift
    found = compare(first, second)
    assert found.low == (None if low is None else pytest.approx(low))
    assert found.high == (None if high is None else pytest.approx(high))


@given(OUTCOMES)
@settings(max_examples=50, deadline=None)
def test_exchanging_parts_inverts_the_ratio(outcomes: np.ndarray) -> None:
    there, back = compare(*outcomes), compare(*outcomes[::-1])
    assert there.verdict == back.verdict
    assert (there.low is None) == (back.high is None)
    if there.low is not None and back.high is not None:
        assert there.low * back.high == pytest.approx(1)


@given(THRESHOLDS)
@settings(max_examples=25, deadline=None)
def test_parts_that_rise_are_compared_like_parts_that_fall(gaps: np.ndarray) -> None:
    first, second = (
        (np.arange(len(AXIS)) < row[:, None]).astype(float) for row in gaps
    )
    first[:, 0], first[:, -1] = 1, 0  # the seeds decide that it falls
    assert compare(1 - first, 1 - second) == compare(first, second)


def test_verdicts() -> None:
    seeds = np.full(8, 1.2)
    same = compare(below(seeds), below(seeds))
    assert same.verdict == "coincide"
    np.testing.assert_allclose([same.low, same.high], [1 / 1.5, 1.5])
    assert compare(below(seeds), below(seeds * 1.5**4)).verdict == "differ"
    assert compare(below(seeds), below(seeds * 1.5**2)).verdict == "undecided"
    # The seeds may differ as much as they like as long as each has both together.
    wide = 1.2 * 1.5 ** np.arange(-4.0, 4.0)
    assert compare(below(wide), below(wide)).verdict == "coincide"
    assert compare(below(wide), below(wide[::-1])).verdict == "undecided"
    assert compare(below(seeds), 1 - below(seeds)).verdict == "differ"
    assert compare(below(seeds[:3]), below(seeds[:3])).verdict == "undecided"


def test_a_part_that_is_never_shown_differs_only_where_that_is_known() -> None:
    never, seeds = np.zeros((8, len(AXIS))), np.full(8, 1.2)
    assert compare(below(seeds), never).verdict == "differ"
    assert compare(never, below(seeds)).verdict == "differ"
    assert compare(never, never).verdict == "undecided"
    assert compare(1 - never, 1 - never).verdict == "undecided"
    assert compare(1 - never, never).verdict == "differ"
    # Shown at the lowest value only, so it may end just above what was tried.
    lowest = below(np.full(8, AXIS[0] * 1.2))
    assert compare(lowest, never).verdict == "undecided"
    # Unless the other is not shown at 0 either, where no value is lower.
    with_zero = np.concatenate([[0.0], AXIS])
    first = np.concatenate([np.ones((8, 1)), lowest], axis=1)
    assert compare(first, np.zeros((8, 11)), with_zero).verdict == "differ"


def test_values_rounded_as_in_a_config_are_still_an_even_grid() -> None:
    rounded = np.array([float(f"{value:.3g}") for value in AXIS])
    seeds = 1.2 * 1.5 ** np.arange(-3.0, 5.0)
    found = compare(below(seeds, rounded), below(seeds * 1.5, rounded), rounded)
    exact = compare(below(seeds), below(seeds * 1.5))
    np.testing.assert_allclose(found.low, exact.low, rtol=1e-2)
    np.testing.assert_allclose(found.high, exact.high, rtol=1e-2)


def test_unknown_outcomes_and_short_axes() -> None:
    seeds = np.full(8, 1.2)
    lost = below(seeds)
    lost[:4] = np.nan
    assert compare(below(seeds), lost) == compare(below(seeds)[4:], lost[4:])
    assert compare(below(seeds), np.full_like(lost, np.nan)) == Ratio(
        None, None, "undecided"
    )
    for values in ([0.0], [0.1], [0.0, 0.1]):
        axis = np.asarray(values)
        assert compare(below(seeds, axis), below(seeds, axis), axis).low is None


@pytest.mark.parametrize(
    ("verdicts", "all_of"),
    [
        (["coincide", "coincide"], "coincide"),
        (["coincide", "undecided"], "undecided"),
        (["differ", "undecided", "coincide"], "differ"),
        ([], "undecided"),
    ],
)
def test_one_verdict_on_all_pairs(verdicts: list[str], all_of: str) -> None:
    assert combine_verdicts(verdicts) == all_of
