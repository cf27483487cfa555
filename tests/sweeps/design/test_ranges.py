"""Every number of a config has a range, and nothing outside of it gets any further."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
from ml_collections import ConfigDict

from configs import attention, default
from routers import ROUTERS
from sweeps.design.config_file import check_config
from sweeps.design.experiment import build_experiment
from sweeps.design.memory import SPARE_BYTES, require_disk, require_room
from sweeps.design.ranges import RANGES, Range, check_ranges, flat_items
from sweeps.engine.cost import disk_bytes, state_bytes
from sweeps.errors import BadInput
from sweeps.main import main
from tests import ROOT

CONFIG = f"--config={ROOT}/configs/attention.py"
OFTEN = (-1, 10**12, 10**30, -(10**30), 1e308, 2**32, 2**63, 2**64)
NEVER = ("nan", "inf", "-inf", "1e999", "x", "[]", "(1,2,3)", "{}", "1j", "None+1")


def numeric(value: object) -> bool:
    parts = value if isinstance(value, tuple) else (value,)
    return all(isinstance(p, int | float) and not isinstance(p, bool) for p in parts)


def test_every_numeric_key_has_a_range_and_every_range_a_key() -> None:
    config = default.get_config()
    flat = dict(flat_items(config))
    numbers = {key for key, value in flat.items() if value is None or numeric(value)}
    assert numbers == set(RANGES)
    check_ranges(config)


def test_ranges_leave_the_knobs_of_routers_their_own_ranges() -> None:
    for router, _ in ROUTERS.values():
        for name, knob in router.knobs.items():
            key = f"knobs.{router.slot}.{name}"
            allowed = RANGES.get(key, Range(-1e6, 1e6))
            assert allowed.holds(knob.neutral)
            assert allowed.low <= knob.low
            assert math.isinf(knob.high) or knob.high <= allowed.high


def outside(allowed: Range) -> list[float]:
    near = [allowed.low - 1, allowed.high * 2 + 1]
    near += [allowed.low] * allowed.above + [allowed.high] * allowed.below
    halves = [allowed.low + 0.5] * allowed.whole
    return [v for v in (*OFTEN, *near, *halves) if not allowed.holds(v)]


@pytest.mark.parametrize("key", sorted(RANGES))
def test_what_is_out_of_range_is_one_line_before_anything_is_built(
    key: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def build(config: ConfigDict) -> None:
        raise AssertionError("was built")

    monkeypatch.setattr("sweeps.pipeline.build_experiment", build)
    allowed = RANGES[key]
    bad = [str(value) for value in outside(allowed)] + list(NEVER)
    if allowed.many:
        bad = [f"({value},{value})" for value in bad[:3]] + ["(0.9,)", "(.9,.9,.9)"]
        bad += NEVER
    for value in bad:
        flag = f"--config.{key}={value}"
        workdir = tmp_path / "sweep"
        assert main(["sweep", CONFIG, f"--workdir={workdir}", flag]) == 2, flag
        out, err = capsys.readouterr()
        assert out == ""
        assert len(err.splitlines()) == 1, err
        assert key in err or "--config.KEY" in err, (flag, err)
        assert "must be" in err or "value" in err, (flag, err)
        assert not workdir.exists()


@pytest.mark.parametrize(
    ("key", "value"), [(key, end) for key in RANGES for end in ("low", "high")]
)
def test_both_ends_of_every_range_are_held(key: str, value: str) -> None:
    allowed = RANGES[key]
    end = getattr(allowed, value)
    assert allowed.holds(end) != (allowed.above if value == "low" else allowed.below)


HUGE = {
    "batch": ({"train.batch": 1_000_000}, "train.batch=1000000, train.length"),
    "length": ({"train.length": 80_000, "train.batch": 1}, "train.length=80000"),
    "steps": ({"train.steps": 100_000_000}, "train.steps=100000000, eval.points=10"),
    "width": ({"model.width": 65_536}, "model.width=65536, model.layers=1"),
    "seeds": ({"sweep.seeds": 90_000}, "sweep.seeds=90000, sweep.num=10"),
    "points": (
        {"eval.points": 10_000, "train.steps": 10_000, "sweep.seeds": 90_000},
        "eval.points=10000",
    ),
}


@pytest.mark.parametrize("case", HUGE)
def test_what_memory_cannot_hold_names_settings_and_what_fits(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for where in ("train.tasks.memory", "sweeps.design.memory"):
        monkeypatch.setattr(f"{where}.memory_bytes", lambda: 20e9)
    changed, named = HUGE[case]
    config = attention.get_config()
    config.update_from_flattened_dict({"task.text": "", **changed})
    check_config(config)
    experiment = build_experiment(config)
    states = 40_000 * 12 * experiment.most_members
    if case == "width":
        states = 12 * 65_536**2 * experiment.most_members
    with pytest.raises(ValueError, match="takes at least") as caught:
        require_room(config, experiment, states)
    assert named in str(caught.value)
    key = named.partition("=")[0]
    most = int(str(caught.value).rpartition("at most ")[2].replace(",", ""))
    assert f"must be smaller, {key} at most" in str(caught.value)
    assert 0 < most < changed[key]


def test_configs_that_fit_are_let_through() -> None:
    config = attention.get_config()
    experiment = build_experiment(config)
    require_room(config, experiment, 10**8)


def test_what_the_disk_cannot_hold_names_settings_and_what_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = attention.get_config()
    config.sweep.seeds = 40
    free = SimpleNamespace(free=SPARE_BYTES + 1e6)
    monkeypatch.setattr("shutil.disk_usage", lambda _: free)
    require_disk(config, tmp_path, 1e6)
    with pytest.raises(BadInput, match=r"^sweep.seeds=40, .*model.width=") as caught:
        require_disk(config, tmp_path, 4e6)
    assert "writes about 4 MB" in str(caught.value)
    assert "must be smaller, sweep.seeds at most 10, or" in str(caught.value)
    assert "train.keep_every" not in str(caught.value)
    config.train.keep_every = 50
    with pytest.raises(BadInput, match=r"train.keep_every=50: the sweep writes"):
        require_disk(config, tmp_path, 4e6)


def test_warm_up_is_no_longer_than_the_training() -> None:
    config = attention.get_config()
    config.train.warmup = config.train.steps
    check_config(config)
    config.train.warmup += 1
    with pytest.raises(BadInput, match=r"train.warmup=\d+: must be at most train.st"):
        check_config(config)


def test_parameters_are_kept_where_they_are_measured() -> None:
    config = attention.get_config()
    config.train.steps, config.eval.points, config.train.keep_every = 500, 10, 100
    experiment = build_experiment(config)
    assert list(experiment.kept_steps) == [0, 100, 200, 300, 400]
    states = state_bytes(experiment)
    kept = disk_bytes(experiment) - 3 * states  # the optimizer has two moments of each
    assert kept == pytest.approx(5 * states / 3, rel=1e-3)
    config.train.keep_every = 0
    experiment = build_experiment(config)
    assert not experiment.kept_steps
    assert disk_bytes(experiment) == 3 * states
    config.train.keep_every = 70
    with pytest.raises(
        BadInput, match=r"train.keep_every=70: must be a multiple of 50,"
    ):
        build_experiment(config)


def test_a_tuple_or_a_flag_where_a_number_belongs_is_refused() -> None:
    for key, value in (("sweep.num", (1, 2)), ("model.layers", True)):
        config = attention.get_config()
        with config.ignore_type():
            config.update_from_flattened_dict({key: value})
        with pytest.raises(BadInput, match=key):
            check_config(config)
