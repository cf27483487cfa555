"""A whole sweep, end to end, on real components at a tiny size."""

import io
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from jax.experimental.compilation_cache import compilation_cache
from ml_collections import ConfigDict
from rich.console import Console

from configs import attention, default
from routers import Attention
from sweeps.design.experiment import build_experiment, measurements
from sweeps.engine.inputs import make_members
from sweeps.engine.programs import compile_sweep
from sweeps.engine.waves import train_sweep
from sweeps.errors import BadInput
from sweeps.findings.summary import summarize_sweep
from sweeps.pipeline import sweep
from sweeps.runtime.placement import choose_placement, place
from sweeps.tracking.records import history
from tests import ROOT
from tests.wandb_rows import compare
from train.checkpoint import load

DIAGNOSED = {"eval.diagnosed": 4}


def configure(overrides: dict[str, Any], **more: Any) -> ConfigDict:
    config = attention.get_config()
    config.update_from_flattened_dict(overrides)
    config.update_from_flattened_dict(more)
    return config


def quiet() -> Console:
    return Console(file=io.StringIO(), width=80)


@pytest.fixture(scope="module")
def done(
    tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any], str]:
    workdir = tmp_path_factory.mktemp("runs") / "tiny"
    console = quiet()
    config = configure(tiny, **DIAGNOSED, **{"wandb.mode": "offline"})
    summary = sweep(config, workdir, console)
    return workdir, summary, console.file.getvalue()


def test_everything_promised_is_left(done: tuple) -> None:
    workdir, summary, _ = done
    assert json.loads((workdir / "onset.json").read_text()) == summary
    figures = sorted(path.name for path in (workdir / "figures").iterdir())
    names = ("map_layers", "map_steps", "onset", "onset_step", "parts", "routing")
    assert figures == [f"{n}.{kind}" for n in names for kind in ("pdf", "png", "txt")]
    for name in names:
        assert (workdir / f"figures/{name}.png").read_bytes()[:4] == b"\x89PNG"
    manifest = json.loads((workdir / "manifest.json").read_text())
    assert manifest["complete"]
    assert manifest["config"]["train"]["steps"] == 6
    assert len(manifest["members"]) == 6
    assert manifest["placement"] == {"devices": 2, "width": 1, "data": 1}
    assert not list(workdir.glob(".*.tmp"))


def test_the_terminal_says_the_cost_and_the_finding(done: tuple) -> None:
    _, _, text = done
    for phrase in ("6 members (3 values of token.brake × 2 seeds) × 6 steps", "about"):
        assert phrase in " ".join(text.split())
    assert "member-steps/s" in text
    assert "token.brake" in text
    assert "Held-out loss" in text


def test_metrics_are_tidy(done: tuple) -> None:
    workdir, _, _ = done
    table = pq.read_table(workdir / "metrics.parquet")
    knobs = {f"token.{name}" for name in Attention.knobs}
    fixed = {"member", "init_seed", "data_seed", "step", "layer", "head", "metric"}
    assert set(table.column_names) == knobs | fixed | {"value", "null", "low", "high"}
    assert pc.unique(table["step"]).to_pylist() == [0, 3, 6]
    running = table.filter(pc.field("step") < 6)
    assert set(pc.unique(running["null"]).to_pylist()) == {"", "uniform", "brake_only"}
    keys = [c for c in table.column_names if c not in ("value", "low", "high")]
    assert table.group_by(keys).aggregate([]).num_rows == table.num_rows
    loss = table.filter(
        (pc.field("metric") == "loss/held_out") & (pc.field("null") == "")
    )
    assert loss.num_rows == 6 * 3
    assert np.isfinite(loss["value"].to_numpy()).all()


def test_kinds_of_targets_are_in_the_table_and_the_documented_plot_runs(
    done: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workdir, _, _ = done
    table = pq.read_table(workdir / "metrics.parquet")
    for name in (
        "loss/held_out/bigram",
        "loss/excess/backcopy",
        "concentration/first_source/bigram",
        "norms/hub_written_log_ratio",
    ):
        rows = table.filter(pc.field("metric") == name)
        assert pc.unique(rows["step"]).to_pylist() == [0, 3, 6], name
        nulls = set(pc.unique(rows["null"]).to_pylist())
        assert {"", "uniform", "brake_only"} <= nulls, name
        assert np.isfinite(rows["value"].to_numpy()).all(), name
    code = (ROOT / "docs/measures.md").read_text().split("```python\n")[1]
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/attention").symlink_to(workdir)
    monkeypatch.chdir(tmp_path)
    exec(code.split("```")[0], {})
    assert (tmp_path / "published.png").read_bytes()[:4] == b"\x89PNG"


def test_summary_has_its_documented_keys(done: tuple) -> None:
    _, summary, _ = done
    documented = (ROOT / "docs/onset_schema.md").read_text()

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                assert f"`{key}`" in documented, key
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(summary)
    point = summary["curve"][0]
    assert point["value"] == 0
    assert set(point["nulls"]) == {"uniform", "brake_only", "untrained"}
    assert point["hub_mass"]["low"] <= point["hub_mass"]["high"]


def test_the_checkpoint_restores(done: tuple, tiny: dict[str, Any]) -> None:
    workdir, _, _ = done
    experiment = build_experiment(configure(tiny))
    compiled = compile_sweep(experiment, choose_placement(0, 1, 6))
    members = make_members(experiment, experiment.grid, np.arange(6))
    members = place(compiled.mesh, members)
    like = {
        "states": compiled.programs.init(members, compiled.shared.task),
        "knobs": members.knobs,
        "init_seed": jax.numpy.zeros(6, int),
        "data_seed": jax.numpy.zeros(6, int),
    }
    tree = load(workdir / "checkpoints/final", like)
    np.testing.assert_array_equal(tree["states"].step, np.full(6, 6))
    np.testing.assert_allclose(tree["knobs"]["token.brake"][:3], [0, 0, 0.03])


def test_what_wandb_recorded_equals_the_table_row_for_row(done: tuple) -> None:
    """Every row of every member, and the onset curve stepped by the brake itself."""
    workdir, summary, _ = done
    manifest = json.loads((workdir / "manifest.json").read_text())
    assert len(manifest["wandb"]["members"]) == 6
    differences = compare(workdir)
    assert differences.wrong == []
    assert differences.members == 6 and differences.rows == 6 * 3
    (curve,) = (workdir / "wandb").glob("offline-run-*/run-*-curve.wandb")
    rows = [row for row in history(curve) if "token_brake" in row]
    assert [r["token_brake"] for r in rows] == [p["value"] for p in summary["curve"]]
    for row, point in zip(rows, summary["curve"], strict=True):
        assert row["onset/loss_median"] == point["loss"]["median"]
        assert "onset/concentration/gini_median" in row  # of the diagnosis


def test_a_second_launch_shows_and_a_changed_one_is_refused(
    done: tuple, tiny: dict[str, Any]
) -> None:
    workdir, summary, _ = done

    def times() -> dict[Path, int]:
        paths = [path for path in workdir.iterdir() if path.name != ".lock"]
        return {path: path.stat().st_mtime_ns for path in paths}

    before = times()
    console = quiet()
    assert sweep(configure(tiny, **DIAGNOSED), workdir, console) == summary
    assert "already holds this sweep" in console.file.getvalue()
    with pytest.raises(BadInput, match="train.steps was 6, now 12"):
        changed = configure(tiny, **DIAGNOSED, **{"train.steps": 12})
        sweep(changed, workdir, quiet())
    assert before == times()


def test_the_same_sweep_gives_the_same_bits(
    done: tuple,
    tiny: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workdir, _, _ = done
    monkeypatch.setattr("sweeps.report.figures.draw_figures", lambda *_: [])
    # Compiled anew: that the compiler does the same again is part of it.
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()
    try:
        sweep(configure(tiny, **DIAGNOSED), tmp_path / "again", quiet())
    finally:
        jax.config.update("jax_enable_compilation_cache", True)
        compilation_cache.reset_cache()
    for name in ("metrics.parquet", "onset.json"):
        assert (workdir / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_any_knob_can_be_the_axis(tiny: dict[str, Any]) -> None:
    changes = {
        "sweep.knob": "token.null_sink",
        "knobs.token.brake": 0.1,
        "sweep.data_seeds": 2,
        "model.heads": 2,
        "model.mlp_ratio": 2,
        "model.layers": 2,
    }
    experiment = build_experiment(configure(tiny, **changes))
    assert experiment.fixed["token.brake"] == 0.1
    assert "token.null_sink" not in experiment.fixed
    placement = choose_placement(0, 2, experiment.grid.members)
    trained = train_sweep(compile_sweep(experiment, placement), lambda *_: None)
    results = trained.results
    summary = summarize_sweep(results, "attention")
    assert summary["knob"] == "token.null_sink"
    assert [point["members"] for point in summary["curve"]] == [4, 4, 4]
    layers = results.snapshots[-1].layers["concentration/hub_mass"]
    assert layers.shape == (12, 3, 2, 2)


def test_bfloat16_and_the_random_table_run(tiny: dict[str, Any]) -> None:
    changes = {"model.dtype": "bfloat16", "task.text": "", "task.trigger_mass": 0.4}
    experiment = build_experiment(configure(tiny, **changes))
    placement = choose_placement(1, 1, experiment.grid.members)
    trained = train_sweep(compile_sweep(experiment, placement), lambda *_: None)
    losses = trained.results.snapshots[-1].model["loss/held_out"]
    assert np.isfinite(losses).all()


def test_chunks_divide_the_steps() -> None:
    assert measurements(600, 10) == 10
    assert measurements(7, 10) == 7
    assert measurements(97, 10) == 1
    assert measurements(12, 5) == 4


@pytest.mark.parametrize("preset", ["default", "full"])
def test_presets_meet_the_least_number_of_seeds(preset: str) -> None:
    experiment = build_experiment(attention.get_config(preset))
    assert experiment.grid.init_seed.max() + 1 >= 8
    assert len(experiment.grid.axis.values) >= 10


def test_other_configs_list_no_key_of_their_own() -> None:
    shared = set(flat(default.get_config()))
    assert set(flat(attention.get_config())) == shared


def flat(config: ConfigDict, prefix: str = "") -> list[str]:
    names = []
    for key in config:
        value = config[key]
        inner = isinstance(value, ConfigDict)
        names += flat(value, f"{prefix}{key}.") if inner else [f"{prefix}{key}"]
    return names
