"""The tidy table holds outcomes of every part, and quantiles of sound members."""

from typing import Any

import numpy as np

from sweeps.findings.table import make_table
from sweeps.inference.parts import FLAGS, part_outcomes
from tests.sweeps.simulated import HUB_MASS, STEPS, simulate_results

SPREAD = np.geomspace(0.1, 0.6, 10)


def columns(results: Any, metric: str) -> dict[str, np.ndarray]:
    """The rows of one metric of the network itself, by column."""
    table = make_table(results)
    every = {name: table[name].to_numpy() for name in table.column_names}
    chosen = (every["metric"] == metric) & (every["null"] == "")
    return {name: column[chosen] for name, column in every.items()}


def test_outcomes_of_every_part_are_in_the_table() -> None:
    results = simulate_results(SPREAD, 0.5, 2.0, diverged=(3,))
    members = results.experiment.grid.members
    layers = part_outcomes(results.judge, results.final, by_layer=True)
    for part, name in FLAGS.items():
        own = columns(results, f"outcome/{name}")
        whole = own["layer"] == -1
        found = own["value"][whole].reshape(len(STEPS), members)
        np.testing.assert_array_equal(found, results.outcomes[part])
        np.testing.assert_array_equal(own["step"][whole], np.repeat(STEPS, members))
        found = own["value"][~whole].reshape(-1, members)  # one layer after the other
        np.testing.assert_array_equal(found, layers[part].T)
        assert set(own["step"][~whole]) == {STEPS[-1]}
        assert set(own["head"]) == {-1}


def test_a_part_that_is_not_defined_has_no_rows() -> None:
    own = columns(simulate_results(SPREAD, key_factor=None), "outcome/stratified")
    assert len(own["value"]) == 0


def test_quantiles_leave_out_diverged_members() -> None:
    results = simulate_results(SPREAD, diverged=(3,))
    for now in results.snapshots:
        now.spread[HUB_MASS][3] = 77.0
    own = columns(results, HUB_MASS)
    assert own["high"][own["layer"] == -1].max() < 1
