"""What is said in W&B, as plain values."""

import itertools

import numpy as np
import pytest

from sweeps.findings.results import Results
from sweeps.findings.summary import summarize_sweep
from sweeps.inference.diagnosis import Diagnosis
from sweeps.tracking import rows
from tests.sweeps.simulated import simulate_results


@pytest.fixture(scope="module")
def results() -> Results:
    thresholds = np.asarray((0.1, 0.2, 0.3))
    return simulate_results(thresholds, diverged=(4,), channels=True)


def test_no_name_has_a_dot(results: Results) -> None:
    summary = summarize_sweep(results, "attention")
    grid, last = results.experiment.grid, results.final
    said = [
        *rows.curve_rows(results, summary),
        *rows.member_rows(last, results.outcomes["concentration"][-1]),
        *rows.member_configs(grid, {"token.content": 1.0}),
        rows.onset_summary(summary),
    ]
    names = set(itertools.chain.from_iterable(said))
    assert "token_brake" in names and "token_content" in names
    assert not [name for name in names if "." in name]


def test_the_curve_has_every_spread_of_the_findings(results: Results) -> None:
    summary = summarize_sweep(results, "attention")
    said = rows.curve_rows(results, summary)
    for row, point in zip(said, summary["curve"], strict=True):
        alive = point["members"] - point["diverged"]
        assert row["token_brake"] == point["value"]
        assert row["onset/collapse_fraction"] == point["collapsed"] / alive
        assert row["onset/collapse_fraction_low"] == point["fraction"]["low"]
        assert (
            row["onset/hub_value_log_ratio_high"]
            == (point["hub_value_log_ratio"]["high"])
        )
        null = point["rank_ratio"]["nulls"]["untrained"]
        assert row["onset/rank_ratio_null_untrained_low"] == null["low"]
        assert row["onset/null_uniform_high"] == point["nulls"]["uniform"]["high"]
        channels = point["channels"]["hub_mass"]
        assert row["onset/channel_hub_mass_median"] == channels["median"]


def test_what_the_diagnosis_alone_measures_is_said_of_members_and_of_the_curve(
    results: Results,
) -> None:
    grid = results.experiment.grid
    values = np.random.default_rng(0).random((grid.members, 1, 2, 3, 2))
    measures = {"concentration/gini": values, "concentration/hub_index": values}
    diagnosed = Diagnosis(40, ("",), {}, measures)
    whole = Results(results.experiment, results.snapshots, diagnosed)
    closing = rows.closing_rows(whole)
    expected = values[:, 0].mean(1).max((-2, -1))  # over sequences, then the extreme
    found = [row["concentration/gini"] for row in closing]
    np.testing.assert_allclose(found, expected)
    point = rows.curve_rows(whole, summarize_sweep(results, "attention"))[1]
    alive = (grid.value == 1) & results.final.alive
    assert alive.sum() == 2  # member 4 has diverged
    median = np.median(expected[alive])
    assert point["onset/concentration/gini_median"] == pytest.approx(median)


def test_members_that_have_no_runs_are_a_table(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns, table = rows.members_table(results)
    grid, at = results.experiment.grid, columns.index
    assert len(table) == grid.members * len(results.snapshots)
    last = table[-1]
    assert last[at("token_brake")] == grid.swept[-1]
    assert (
        last[at("concentration/hub_mass")]
        == (results.final.model["concentration/hub_mass"][-1, 0])
    )
    monkeypatch.setattr(rows, "MOST_ROWS", grid.members)
    _, short = rows.members_table(results)
    assert short == table[-grid.members :]
