"""Collapsed or not: threshold, nulls, extremes over layers and heads."""

import numpy as np
import pytest

from sweeps.design.grid import make_axis, make_grid
from sweeps.inference.criterion import Judge, make_criterion
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
