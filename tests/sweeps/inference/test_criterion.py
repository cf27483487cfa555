"""Collapsed or not: threshold, nulls, extremes over layers and heads."""

import numpy as np
import pytest

from sweeps.design.grid import make_axis, make_grid
from sweeps.inference.criterion import HIGH, LOW, Judge, make_criterion
from sweeps.inference.snapshot import Snapshot, summarize

HUB_MASS = "concentration/hub_mass"
VALUE = np.asarray([0, 0, 1, 1])
CRITERION = make_criterion("causal", None, 0.99, 0.02)


def snapshot(real: list[float], null: float = 0.07, step: int = 0) -> Snapshot:
    hub = np.full((4, 3, 2, 1, 1), null)  # [M, R, E, L, H]
    hub[:, 0] = np.asarray(real)[:, None, None, None]
    return summarize(step, {HUB_MASS: hub}, np.zeros(4), np.full(4, -1))


def judge(start: Snapshot) -> Judge:
    return Judge(CRITERION, start, VALUE)


def test_a_member_must_pass_the_threshold() -> None:
    now = snapshot([0.5, 0.29, 0.31, 0.1])
    result = judge(snapshot([0.07] * 4)).collapsed(now)
    np.testing.assert_array_equal(result, [True, False, True, False])


def test_a_member_must_pass_its_own_values_nulls_by_the_margin() -> None:
    start = snapshot([0.07, 0.07, 0.60, 0.07])
    now = snapshot([0.5, 0.5, 0.5, 0.61])
    result = judge(start).collapsed(now)
    # Value 1's untrained .99 quantile is about .6; value 0's nulls are low.
    np.testing.assert_array_equal(result, [True, True, False, False])


def test_a_diverged_member_is_not_collapsed() -> None:
    hub = np.full((4, 3, 2, 1, 1), 0.07)
    hub[:, 0] = 0.9
    now = summarize(5, {HUB_MASS: hub}, np.zeros(4), np.asarray([-1, 3, -1, -1]))
    result = judge(snapshot([0.07] * 4)).collapsed(now)
    np.testing.assert_array_equal(result, [True, False, True, True])


def test_the_model_and_its_nulls_take_the_same_extreme() -> None:
    hub = np.zeros((1, 3, 4, 2, 2))
    hub[0, 0, :, 1, 0] = [0.2, 0.4, 0.6, 0.8]  # strongest on average
    hub[0, 0, 0, 0, 1] = 0.9  # strongest on one sequence
    hub[0, 1, :, 0, 0] = 0.3
    result = summarize(0, {HUB_MASS: hub}, np.zeros(1), np.full(1, -1))
    np.testing.assert_allclose(result.model[HUB_MASS], [[0.5, 0.3, 0.0]])
    np.testing.assert_allclose(result.spread[HUB_MASS][0, 0], [0.9, 0.4, 0.6, 0.8])
    assert result.layers[HUB_MASS].shape == (1, 3, 2, 2)


def test_nulls_are_pooled_over_sequences_and_seeds() -> None:
    samples = judge(snapshot([0.1, 0.2, 0.3, 0.4])).null_samples(
        HUB_MASS, snapshot([0.5] * 4), VALUE == 1
    )
    assert set(samples) == {"uniform", "brake_only", "untrained"}
    np.testing.assert_allclose(sorted(samples["untrained"]), [0.3, 0.3, 0.4, 0.4])


def spreads(rng: np.random.Generator, step: int, lost: bool = False) -> Snapshot:
    """A snapshot of random numbers in which a null may not have been measured."""
    values = rng.random((4, 3, 50, 1, 1))
    if lost:
        values[:, 2] = np.nan
    return summarize(step, {HUB_MASS: values}, np.zeros(4), np.full(4, -1))


@pytest.mark.parametrize("quantile", [0.99, 0.2])
def test_a_bar_is_beyond_every_null_on_its_side(quantile: float) -> None:
    """Also at quantiles below one half, which make the bar easier to pass."""
    rng = np.random.default_rng(0)
    start, now = spreads(rng, 0), spreads(rng, 5)
    judge = Judge(make_criterion("causal", None, quantile, 0.0), start, VALUE)
    for side, level, extreme in ((HIGH, quantile, max), (LOW, 1 - quantile, min)):
        for value in (0, 1):
            nulls = [now.spread[HUB_MASS][value == VALUE, row] for row in (1, 2)]
            nulls.append(start.spread[HUB_MASS][value == VALUE, 0])
            expected = extreme(np.quantile(samples, level) for samples in nulls)
            bar = judge.null_bar(HUB_MASS, now, side)[value == VALUE]
            np.testing.assert_allclose(bar, expected)


def test_a_null_that_was_not_measured_is_that_of_both_ends() -> None:
    rng = np.random.default_rng(1)
    start, now, end = spreads(rng, 0), spreads(rng, 5, lost=True), spreads(rng, 9)
    judge = Judge(CRITERION, start, VALUE, end)
    for side, level, extreme in ((HIGH, 0.99, max), (LOW, 0.01, min)):
        for value in (0, 1):
            nulls = [
                now.spread[HUB_MASS][value == VALUE, 1],
                start.spread[HUB_MASS][value == VALUE, 0],
                start.spread[HUB_MASS][value == VALUE, 2],
                end.spread[HUB_MASS][value == VALUE, 2],
            ]
            expected = extreme(np.quantile(samples, level) for samples in nulls)
            bar = judge.null_bar(HUB_MASS, now, side)[value == VALUE]
            np.testing.assert_allclose(bar, expected)


def test_members_that_diverged_are_in_no_null() -> None:
    start = snapshot([0.07, 0.6, 0.07, 0.07])
    now = snapshot([0.5] * 4)
    now.spread[HUB_MASS][1] = 0.6
    assert not judge(start).collapsed(now)[:2].any()
    now.diverged[1] = 3
    np.testing.assert_array_equal(
        judge(start).collapsed(now), [True, False, True, True]
    )
    samples = judge(start).null_samples(HUB_MASS, now, VALUE == 0)
    assert {null: len(every) for null, every in samples.items()} == {
        "uniform": 2, "brake_only": 2, "untrained": 2,
    }  # fmt: skip


def test_without_any_null_nothing_is_collapsed() -> None:
    start, now = snapshot([0.07] * 4), snapshot([0.5] * 4)
    start.spread[HUB_MASS][VALUE == 1] = np.nan
    now.spread[HUB_MASS][VALUE == 1] = np.nan
    np.testing.assert_array_equal(
        judge(start).collapsed(now), [True, True, False, False]
    )


def test_a_head_without_a_value_is_left_out() -> None:
    hub = np.full((1, 3, 2, 2, 2), 0.2)
    hub[:, :, :, 1, 0] = 0.6
    hub[:, :, :, 0, :] = np.nan
    now = summarize(0, {HUB_MASS: hub}, np.zeros(1), np.full(1, -1))
    assert now.model[HUB_MASS][0, 0] == 0.6
    np.testing.assert_array_equal(now.by_layer(HUB_MASS), [[np.nan, 0.6]])


@pytest.mark.parametrize(
    ("threshold", "quantile", "margin", "named"),
    [
        (1.0, 0.99, 0.02, "criterion.threshold=1.0"),
        (0.3, 0.0, 0.02, "criterion.quantile"),
        (0.3, 0.99, -1.0, "criterion.margin"),
    ],
)
def test_thresholds_out_of_range_are_named(
    threshold: float, quantile: float, margin: float, named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        make_criterion("causal", threshold, quantile, margin)


def test_graphs_and_depth_are_judged_by_excess() -> None:
    graph, depth = (make_criterion(k, None, 0.99, 0.02) for k in ("graph", "depth"))
    assert (graph.metric, graph.threshold) == ("concentration/excess", 5.0)
    assert (depth.metric, depth.threshold) == ("concentration/excess", 2.0)
    assert make_criterion("graph", 3.0, 0.99, 0.02).threshold == 3.0


def test_grid_pairs_every_seed_with_every_value() -> None:
    axis = make_axis("token.brake", 0.01, 1, 3, zero=True)
    assert axis.values == (0.0, 0.01, 0.1, 1.0)
    grid = make_grid(axis, seeds=3, data_seeds=2)
    assert grid.members == 24
    for value in range(4):
        chosen = grid.value == value
        assert sorted(grid.unit[chosen]) == list(range(6))
    assert grid.swept.dtype == np.float32
