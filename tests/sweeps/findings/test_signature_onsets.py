"""Three parts of the signature, each with its own criterion and onset."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from routers.signature import COLLAPSE, HUB_KEY, RANK_RATIO, VALUE_DRAIN
from sweeps.findings.signature_onsets import summarize_parts
from sweeps.findings.summary import summarize_sweep
from sweeps.inference.agreement import compare_onsets
from sweeps.inference.criterion import LOW
from sweeps.inference.onset import Onset, estimate_onset
from sweeps.inference.parts import part_outcomes
from sweeps.inference.snapshot import LOSS
from sweeps.report.figures import draw_figures
from sweeps.report.parts import parts_coincide
from sweeps.report.sentences import describe
from sweeps.storage.shape import SCHEMA
from tests import ROOT
from tests.sweeps.simulated import VALUES, simulate_results

SPREAD = np.geomspace(0.1, 0.6, 10)


def test_parts_are_judged_on_their_own_side_of_their_own_nulls() -> None:
    results = simulate_results(SPREAD, rank_factor=0.31, key_factor=3.1)
    grid = results.experiment.grid
    swept, own = grid.swept, SPREAD[grid.unit]
    found = part_outcomes(results.judge, results.final)
    np.testing.assert_array_equal(found["concentration"], swept < own)
    np.testing.assert_array_equal(found["rank_ratio"], swept < 0.31 * own)
    np.testing.assert_array_equal(found["stratification"], swept < 3.1 * own)


def with_model(now: Any, **changed: Any) -> Any:
    """A snapshot with numbers of whole models, real and null alike, replaced."""
    model = dict(now.model)
    for name, value in changed.items():
        model[name] = np.where(np.arange(3) == 0, np.asarray(value)[..., None], 0.0)
    return dataclasses.replace(now, model=model)


def test_norms_are_compared_with_the_untrained_network_only() -> None:
    """Nulls made by knobs leave the first layer's keys and values as they are."""
    results = simulate_results(SPREAD)
    now = results.final
    spread = {name: values.copy() for name, values in now.spread.items()}
    spread[HUB_KEY][:, 1:], spread[VALUE_DRAIN][:, 1:] = 5.0, -5.0
    now = dataclasses.replace(now, spread=spread)
    grid = results.experiment.grid
    found = part_outcomes(results.judge, now)["stratification"]
    np.testing.assert_array_equal(found, grid.swept < SPREAD[grid.unit])


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        (0.42, 0.0, True),  # ln 1.5 = .405
        (-0.42, 0.0, True),  # a hub's key may be the shorter one
        (0.39, 0.0, False),
        (0.0, -0.42, True),
        (0.0, 0.42, False),  # a longer value is no drain
        (0.0, -0.39, False),
    ],
)
def test_either_norm_of_the_hub_shows_stratification(
    key: float, value: float, shown: bool
) -> None:
    results = simulate_results(SPREAD)
    members = results.experiment.grid.members
    now = with_model(
        results.final,
        **{HUB_KEY: np.full(members, key), VALUE_DRAIN: np.full(members, value)},
    )
    assert (part_outcomes(results.judge, now)["stratification"] == shown).all()


def test_norms_must_exceed_the_untrained_network() -> None:
    results = simulate_results(SPREAD)
    spread = dict(results.start.spread)
    spread[HUB_KEY], spread[VALUE_DRAIN] = -5.0 * np.ones((2, *spread[LOSS].shape))
    start = dataclasses.replace(results.start, spread=spread)
    judge = dataclasses.replace(results.judge, start=start)
    assert not part_outcomes(judge, results.final)["stratification"].any()


def test_the_rank_ratio_must_be_below_its_threshold_and_every_null() -> None:
    results = simulate_results(SPREAD)
    now, start = results.final, results.start
    grid, judge = results.experiment.grid, results.judge
    bar = judge.null_bar(COLLAPSE, now, LOW)
    samples = now.spread[COLLAPSE][grid.value == 4]
    untrained = start.spread[COLLAPSE][grid.value == 4, 0]
    lows = [np.quantile(s, 0.01) for s in (samples[:, 1], samples[:, 2], untrained)]
    np.testing.assert_allclose(bar[grid.value == 4], min(lows))
    members = grid.members
    for ratio, collapsed_now in ((0.99, True), (1.01, False)):
        near = with_model(now, **{COLLAPSE: np.full(members, ratio * RANK_RATIO)})
        found = part_outcomes(judge, near)["rank_ratio"]
        assert (found == collapsed_now).all()
    spread = {**now.spread, COLLAPSE: 0.7 * now.spread[COLLAPSE]}
    low = dataclasses.replace(now, spread=spread)
    low = with_model(low, **{COLLAPSE: np.full(members, 0.75)})
    assert not part_outcomes(judge, low)["rank_ratio"].any()


def test_a_router_without_norms_has_two_parts() -> None:
    summary = summarize_sweep(simulate_results(SPREAD, key_factor=None), "mamba")
    assert summary["parts"]["not_defined"] == ["stratification"]
    assert "stratification not defined" in parts_coincide(summary)


def test_other_parts_have_sensitivity_tables_of_their_own() -> None:
    parts = summarize_sweep(simulate_results(SPREAD), "attention")["parts"]
    for name, middle in (("rank_ratio", 0.8), ("stratification", 1.5)):
        table = parts[name]["sensitivity"]
        assert table[1]["threshold"] == middle
        assert table[1]["estimate"] == parts[name]["onset"]["estimate"]
        assert table[1]["collapsed"] == parts[name]["collapsed"]
    assert parts["concentration"]["sensitivity"] == []


def test_a_diverged_member_shows_no_part() -> None:
    results = simulate_results(SPREAD, diverged=(0, 1))
    for found in part_outcomes(results.judge, results.final).values():
        assert not found[:2].any()


@pytest.mark.parametrize(
    ("rank", "keys", "verdict"),
    [(1.0, 1.0, "coincide"), (0.1, 1.0, "differ"), (1.0, 30.0, "differ")],
)
def test_whether_the_parts_coincide(rank: float, keys: float, verdict: str) -> None:
    results = simulate_results(SPREAD, rank, keys)
    assert summarize_parts(results)["verdict"] == verdict


def test_few_seeds_leave_it_undecided() -> None:
    assert summarize_parts(simulate_results(SPREAD[:3], 0.1))["verdict"] == "undecided"


def test_comparison_of_two_onsets() -> None:
    axis = np.geomspace(0.01, 10, 10)

    def at(place: float, units: int = 8, rising: bool = False) -> Onset:
        outcome = np.tile((axis < place).astype(float), (units, 1))
        return estimate_onset(axis, 1 - outcome if rising else outcome)

    assert compare_onsets(at(0.3), at(0.3), axis) == "coincide"
    assert compare_onsets(at(0.3), at(3.0), axis) == "differ"
    assert compare_onsets(at(0.3), at(0.3, rising=True), axis) == "differ"
    assert compare_onsets(at(0.3), at(100), axis) == "differ"  # firm: everywhere
    assert compare_onsets(at(100), at(100), axis) == "coincide"
    assert compare_onsets(at(100), at(0.001), axis) == "differ"
    assert compare_onsets(at(0.3), at(0.3, units=3), axis) == "undecided"
    assert compare_onsets(at(0.3, units=3), at(100, units=3), axis) == "undecided"
    # Censored and not firm, but firm where the other crosses.
    mixed = (axis < np.where(np.arange(8) < 4, 0.02, 0.0)[:, None]).astype(float)
    partly = estimate_onset(axis, mixed)
    assert partly.censored == "none"
    assert partly.undecided == (0.01,)
    assert (
        compare_onsets(at(0.3), partly, axis)
        == compare_onsets(partly, at(0.3), axis)
        == "differ"
    )
    assert compare_onsets(at(0.015), partly, axis) == "undecided"


def test_sensitivity_keeps_the_criterion_at_its_middle() -> None:
    summary = summarize_sweep(simulate_results(SPREAD), "attention")
    table = summary["sensitivity"]
    assert [row["threshold"] for row in table] == [0.15, 0.2, 0.3, 0.4, 0.5]
    middle = table[2]
    onset = summary["onset"]
    assert [middle[k] for k in ("estimate", "low", "high")] == [
        onset[k] for k in ("estimate", "low", "high")
    ]
    assert middle["collapsed"] == [point["collapsed"] for point in summary["curve"]]


def test_every_key_is_documented() -> None:
    text = (ROOT / "docs/onset_schema.md").read_text()
    assert text.startswith(f"# `onset.json`, schema {SCHEMA}")
    summary = summarize_sweep(simulate_results(SPREAD, channels=True), "rwkv4")
    assert set(summary["curve"][0]["channels"]) == {"hub_mass", "sink_rate"}

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                assert f"`{key}`" in text, key
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(summary)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_channels_are_told_beside_the_mean_with_their_nulls() -> None:
    summary = summarize_sweep(simulate_results(SPREAD, channels=True), "rwkv4")
    (told,) = (s for s in describe(summary) if "mean over channels" in s)
    point = summary["curve"][0]
    hub, rate = (point["channels"][name] for name in ("hub_mass", "sink_rate"))
    assert set(hub["nulls"]) == set(rate["nulls"]) == set(point["nulls"])
    assert f"single channel is {hub['median']:.2f} (quartiles" in told
    highest = max(null["high"] for null in hub["nulls"].values())
    assert f".99 quantile of the nulls: at most {highest:.2f})" in told
    assert f"that of {100 * rate['median']:.0f} % of the channels exceeds 0.3" in told
    # A sink rate is a mean over layers and heads: one head of six has 60 % here.
    assert rate["median"] == pytest.approx((0.6 + 0.6) / 6, rel=0.02)
    without = summarize_sweep(simulate_results(SPREAD), "attention")
    assert all("channels" not in point for point in without["curve"])
    assert not any("mean over channels" in s for s in describe(without))


@pytest.mark.parametrize(
    ("values", "units", "lost", "said"),
    [
        (VALUES, 10, (), "95 % interval ["),
        (VALUES, 1, (), "(one seed, so there is no interval)"),
        (VALUES, 4, tuple(range(40)), "all members above token.brake = 0 diverged"),
        ((0.1,), 8, (), "The seeds decide this at each of the values"),
    ],
)
def test_every_kind_of_sweep_is_told_and_drawn(
    values: tuple[float, ...],
    units: int,
    lost: tuple[int, ...],
    said: str,
    tmp_path: Path,
) -> None:
    thresholds = np.geomspace(0.15, 0.6, units)
    results = simulate_results(thresholds, diverged=lost, values=values)
    summary = summarize_sweep(results, "attention")
    sentences = describe(summary)
    assert said in " ".join(sentences)
    assert sum("parts of the signature" in s for s in sentences) == 1
    paths = draw_figures(tmp_path, summary, results, [("one", np.eye(4))])
    assert {"parts", "map_steps", "map_layers"} <= {path.stem for path in paths}
    for path in paths:
        assert path.read_bytes()[:4] == b"\x89PNG"
        drawn = path.with_suffix(".pdf").read_bytes()
        assert drawn[:4] == b"%PDF"
        assert b"/FontFile2" in drawn or b"/Font" not in drawn  # embedded outlines
        caption = path.with_suffix(".txt").read_text()
        assert f"up to {units} seeds each, {len(lost)} diverged" in caption
        assert "exceeds 0.3 and also, by 0.02, the 0.99 quantile" in caption
