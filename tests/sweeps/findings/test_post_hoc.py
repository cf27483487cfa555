"""The onset of networks trained without the brake and read with it."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from routers.attention import Attention
from routers.signature.nulls import POST_HOC
from sweeps.findings.post_hoc import neutral_members, summarize_post_hoc, why_absent
from sweeps.findings.results import Results
from sweeps.findings.signature_onsets import summarize_parts
from sweeps.findings.summary import summarize_sweep
from sweeps.inference.diagnosis import Diagnosis
from tests.sweeps.simulated import HEADS, HUB_MASS, LAYERS, VALUES, simulate_results

SPREAD = np.geomspace(0.1, 0.3, 8)


def with_post_hoc(factor: float, values: tuple[float, ...] = VALUES) -> Results:
    """A sweep whose post-hoc thresholds are a multiple of the trained ones."""
    results = simulate_results(SPREAD, values=values)
    grid = results.experiment.grid
    results.experiment.routers = {"token": (Attention, None)}
    table = np.full((grid.members, 2, 4, LAYERS, HEADS), 0.07)
    table[grid.swept < factor * SPREAD[grid.unit], 1, :, 1, 0] = 0.6
    nulls = ("", POST_HOC)
    found = Diagnosis(results.steps[-1], nulls, {}, {HUB_MASS: table})
    return dataclasses.replace(results, diagnosis=found)


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "coincide"), (6.0, "differ")])
def test_it_is_estimated_and_compared_with_the_trained_one(
    factor: float, verdict: str
) -> None:
    results = with_post_hoc(factor)
    found = summarize_post_hoc(results)
    middle = factor * np.sqrt(0.1 * 0.3)
    assert found["onset"]["low"] < middle < found["onset"]["high"]
    assert found["against_trained"] == verdict
    assert found["collapsed"][0] == 8
    trained = summarize_parts(results)["concentration"]
    same = found["collapsed"] == trained["collapsed"]
    assert same == (factor == 1)


def test_a_seed_that_diverged_at_the_neutral_value_says_nothing_anywhere() -> None:
    results = with_post_hoc(1.0)
    grid = results.experiment.grid
    lost = np.flatnonzero((grid.value == 0) & (grid.unit == 3))[0]
    results.snapshots[-1].diverged[lost] = 5
    found = summarize_post_hoc(results)
    assert found["onset"]["units"] == 7
    assert max(found["collapsed"]) == 7


def test_the_null_leaves_out_seeds_that_diverged_at_the_neutral_value() -> None:
    results = with_post_hoc(1.0)
    grid = results.experiment.grid
    results.experiment.diagnosed = 4
    results.diagnosis.measures[HUB_MASS][grid.unit == 3, 1] = 77.0
    lost = np.flatnonzero((grid.value == 0) & (grid.unit == 3))[0]
    results.snapshots[-1].diverged[lost] = 5
    for point in summarize_sweep(results, "attention")["curve"]:
        assert point["diagnostic_nulls"][POST_HOC]["high"] < 1


def test_every_member_is_paired_with_its_own_seed_at_the_neutral_value() -> None:
    results = with_post_hoc(1.0)
    grid = results.experiment.grid
    chosen = neutral_members(results.experiment)
    assert (grid.swept[chosen] == 0).all()
    np.testing.assert_array_equal(grid.unit[chosen], grid.unit)
    assert why_absent(results.experiment) is None


def test_a_single_value_is_not_compared_with_itself() -> None:
    alone = with_post_hoc(1.0, (0.0,)).experiment
    assert why_absent(alone) == "post_hoc needs another value than token.brake=0"


def test_without_the_neutral_value_or_a_diagnosis_there_is_none() -> None:
    away = with_post_hoc(1.0, VALUES[1:])
    assert "token.brake=0" in why_absent(away.experiment)
    members = np.arange(away.experiment.grid.members)
    np.testing.assert_array_equal(neutral_members(away.experiment), members)
    for diagnosis in (SimpleNamespace(nulls=("",)), None):
        assert (
            summarize_post_hoc(dataclasses.replace(away, diagnosis=diagnosis)) is None
        )
