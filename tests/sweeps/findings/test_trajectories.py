"""How the onset of every part unfolds in training and in depth."""

import dataclasses
import itertools

import numpy as np
from matplotlib.text import Text

from routers.signature import COLLAPSE
from sweeps.findings.summary import summarize_sweep
from sweeps.inference.onset import fraction_interval
from sweeps.inference.parts import FLAGS, part_outcomes
from sweeps.report.maps import map_layers
from sweeps.report.parts import courses
from tests.sweeps.simulated import STEPS, VALUES, simulate_results

SPREAD = np.geomspace(0.1, 0.6, 10)


def test_courses_of_every_part_in_training_and_depth() -> None:
    factors = {"concentration": 1.0, "rank_ratio": 0.5, "stratification": 2.0}
    results = simulate_results(SPREAD, 0.5, 2.0, diverged=(3,))
    summary = summarize_sweep(results, "attention")
    for point, (part, factor) in itertools.product(summary["curve"], factors.items()):
        value, courses = point["value"], point["parts"][part]
        alive = point["members"] - point["diverged"]
        lost = point["diverged"]  # at value 0, where every seed shows every part early
        shown = value < factor * SPREAD
        early = (shown & (value < SPREAD / 2)).sum() - lost
        late = shown.sum() - lost
        course = courses["training"]
        assert course["step"] == list(STEPS)
        expected = [0, 0, early, late, late]
        assert course["collapsed"] == course["ever"] == expected
        low, high = fraction_interval(alive - expected[-1], alive)
        assert (course["free_low"][-1], course["free_high"][-1]) == (low, high)
        assert courses["onset_step"]["reached"] == late
        steps = sorted([20] * early + [30] * (late - early) + [None] * (alive - late),
                       key=lambda step: step or 99)  # fmt: skip
        assert courses["onset_step"]["median"] == steps[(alive - 1) // 2]
        depth = courses["depth"]
        deeper = (value < factor * SPREAD / 4).sum() - lost
        assert depth["collapsed"] == [0, late, deeper]
        assert depth["first"] == [0, late, 0]
        assert depth["median_first"] == (2 / 3 if late else None)


def test_courses_are_told() -> None:
    results = simulate_results(SPREAD, rank_factor=0.1, values=VALUES[1:])
    few = (0.1 * SPREAD > 0.03).sum()
    training, depth = courses(summarize_sweep(results, "attention"))
    assert "at token.brake = 0.03," in training
    assert "concentration 20 (10 of 10 seeds); " in training
    assert f"rank ratio later than the last one ({few} of 10 seeds); " in training
    assert "the first of 3 layers (0 is at the input): concentration 1; " in depth
    assert courses(summarize_sweep(simulate_results(0 * SPREAD), "attention")) == []


def test_a_member_shows_a_part_exactly_where_one_of_its_layers_does() -> None:
    results = simulate_results(SPREAD, 0.5, 2.0, diverged=(3,))
    members = part_outcomes(results.judge, results.final)
    layers = part_outcomes(results.judge, results.final, by_layer=True)
    assert set(layers) == set(members) == set(FLAGS)
    for part, found in layers.items():
        np.testing.assert_array_equal(found.any(1), members[part])
        assert 0 < found.any(1).sum() < len(found)


def test_one_rank_ratio_for_all_layers_has_no_onset_in_depth() -> None:
    """Over depth, the sublayers are the rows whose rank is taken."""
    results = simulate_results(SPREAD)
    snapshots = [
        dataclasses.replace(
            now,
            layers={**now.layers, COLLAPSE: now.model[COLLAPSE][..., None, None]},
        )
        for now in results.snapshots
    ]
    results = dataclasses.replace(results, snapshots=tuple(snapshots))
    summary = summarize_sweep(results, "depth_attention")
    for point in summary["curve"]:
        assert point["parts"]["rank_ratio"]["depth"] is None
        assert point["parts"]["rank_ratio"]["training"]["step"] == list(STEPS)
    assert "rank ratio" not in courses(summary)[1]
    texts = [text.get_text() for text in map_layers(summary).findobj(Text)]
    assert texts.count("one number for\nall layers") == 2
