"""A sweep says where a part still moved when it ended."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from routers.signature import COLLAPSE
from sweeps.findings.settling import summarize_settling
from sweeps.findings.summary import summarize_sweep
from sweeps.report.sentences import describe
from tests.sweeps.simulated import HUB_MASS, VALUES, simulate_results

SEEDS = 8


def drifting(
    slope: float,
    noise: float,
    seed: int = 0,
    points: int = 13,
    values: tuple[float, ...] = VALUES,
) -> Any:
    """Results in which hub mass moves at the last value of the knob alone."""
    results = simulate_results(np.full(SEEDS, 1e-3), values=values)
    rng = np.random.default_rng(seed)
    grid = results.experiment.grid
    last = grid.value == grid.value.max()
    snapshots = []
    for point in range(points):
        base = results.final
        mass = 0.1 + noise * rng.normal(size=grid.members)
        mass[last] += slope * point * 10
        model = {k: v.copy() for k, v in base.model.items()}
        model[HUB_MASS][:, 0] = mass
        model[COLLAPSE][:, 0] = 1 + noise * rng.normal(size=grid.members)
        snapshots.append(dataclasses.replace(base, step=10 * point, model=model))
    return dataclasses.replace(results, snapshots=tuple(snapshots))


def test_a_rising_hub_mass_is_told_with_the_steps_that_it_may_take() -> None:
    results = drifting(slope=1e-3, noise=1e-3)
    (entry,) = summarize_settling(results)["concentration"]
    grid = results.experiment.grid
    assert entry["value"] == grid.axis.values[-1]
    assert entry["slope"] == pytest.approx(0.1, rel=0.1)
    # .1 + 120 steps x .001 = .22 at the end; .08 are left to the threshold of .3.
    assert entry["steps_left"] == pytest.approx(80, rel=0.1)
    said = " ".join(describe(summarize_sweep(results, "attention")))
    assert "concentration at token.brake = 3 by +0.1 per 100 steps" in said
    assert "Not settled" in said and "at its threshold after about" in said


def test_a_sweep_of_0_alone_is_told_to_be_unsettled() -> None:
    results = drifting(slope=1e-3, noise=1e-3, values=(0.0,))
    said = " ".join(describe(summarize_sweep(results, "attention")))
    assert "Not settled at the last step: concentration at token.brake = 0 by" in said
    settled = drifting(slope=0.0, noise=1e-3, values=(0.0,))
    said = " ".join(describe(summarize_sweep(settled, "attention")))
    assert "Not settled" not in said and "Too few" not in said


def test_what_moves_away_from_its_threshold_has_no_steps_left() -> None:
    (entry,) = summarize_settling(drifting(slope=-1e-3, noise=1e-3))["concentration"]
    assert entry["steps_left"] is None


def test_noise_alone_is_settled() -> None:
    """At most 5 % of settled sweeps raise an alarm; 12 of 100 would be many."""
    alarms = 0
    for seed in range(100):
        found = summarize_settling(drifting(0.0, 0.05, seed))
        alarms += any(found.values())
    assert alarms < 12


def test_a_drift_that_is_too_small_to_matter_is_settled() -> None:
    found = summarize_settling(drifting(slope=1e-6, noise=1e-7))
    assert found["concentration"] == []


def test_few_measurements_do_not_tell() -> None:
    results = drifting(1e-3, 1e-3, points=3)
    assert summarize_settling(results) is None
    said = describe(summarize_sweep(results, "attention"))
    assert any("Too few measurements" in sentence for sentence in said)
