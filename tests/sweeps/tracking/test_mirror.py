"""A sweep is not held up by W&B, and what was written is what is recorded."""

import json
import resource
from pathlib import Path

import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import attention
from sweeps.design.experiment import build_experiment
from sweeps.errors import BadInput
from sweeps.findings.summary import summarize_sweep
from sweeps.tracking import mirror as mirror_module
from sweeps.tracking import opening
from sweeps.tracking.mirror import Mirror
from sweeps.tracking.opening import make_plan
from sweeps.tracking.protocol import Plan
from sweeps.tracking.records import history
from sweeps.tracking.sync import upload, waiting
from tests.sweeps.simulated import simulate_results
from tests.sweeps.tracking.fake_server import KEY, serving


@pytest.fixture
def config() -> ConfigDict:
    return attention.get_config()


def test_a_refused_key_costs_one_line_and_the_runs_are_uploaded_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a trial of `wandb agent`: the curve run is the trial's."""
    results = simulate_results(np.asarray((0.1,)), values=(0.03, 0.3))
    summary, grid = summarize_sweep(results, "attention"), results.experiment.grid
    manifest = {"complete": True, "fingerprint": "", "config": {}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    settings = {"project": "onset", "entity": None, "directory": str(tmp_path)}
    names = {"group": "attention-1", "router": "attention", "knob": "token_brake"}
    plan = Plan("auto", **settings, **names, config={}, members=2, agent=True)
    warnings: list[str] = []
    monkeypatch.setattr(mirror_module, "OPENING_SECONDS", 60.0)  # on a busy machine
    monkeypatch.setattr(mirror_module, "PATIENCE", 60.0)
    with serving() as server:
        server.refusal = (401, "permission denied")
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("WANDB_SWEEP_ID", "aaaa")
        monkeypatch.setenv("WANDB_RUN_ID", "trial")
        mirror = Mirror(plan, results.experiment, tmp_path, warnings.append)
        mirror.begin(grid)
        for snapshot in results.snapshots:
            mirror.log(snapshot, np.zeros(grid.members, bool))
        recorded = mirror.ids()
        mirror.finish(results, summary, [])
        manifest |= {"wandb": recorded}
        (tmp_path / "manifest.json").write_text(json.dumps(manifest))
        *members, trial = waiting(tmp_path)
        assert trial.stem == "run-trial" and len(members) == 2
        lengths = [len(history(run)) for run in members]
        assert lengths == [len(results.snapshots)] * 2
        server.refusal = None
        assert upload([*members, trial], None, None) == ""
        assert waiting(tmp_path) == []
        streamed = [server.streamed[run] for run in recorded["members"]]
        assert [len(lines) for lines in streamed] == lengths
    (line,) = warnings
    assert "permission denied" in line and f"onset sync {tmp_path}" in line
    assert recorded["mode"] == "offline" and recorded["curve"] == "trial"
    assert recorded["members"] == ["attention-1-member-0000", "attention-1-member-0001"]


def test_the_environment_counts_where_the_config_is_silent(
    config: ConfigDict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = build_experiment(config)
    for name in ("MODE", "PROJECT", "ENTITY", "DIR", "SWEEP_ID"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    plan = make_plan(config, "attention", experiment, tmp_path, "f" * 64)
    assert (plan.project, plan.entity, plan.mode) == ("onset", None, "auto")
    assert plan.directory == str(tmp_path)
    monkeypatch.setenv("WANDB_PROJECT", "theirs")
    monkeypatch.setenv("WANDB_ENTITY", "team")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "elsewhere"))
    plan = make_plan(config, "attention", experiment, tmp_path, "f" * 64)
    assert (plan.project, plan.entity) == ("theirs", "team")
    assert plan.directory == str(tmp_path / "elsewhere")
    config.wandb.project, config.wandb.entity = "ours", "us"
    plan = make_plan(config, "attention", experiment, tmp_path, "f" * 64)
    assert (plan.project, plan.entity) == ("ours", "us")


@pytest.mark.parametrize(
    ("hard", "seeds", "said"),
    [
        (256, 8, "88 members need 328 open files, and 256 are allowed"),
        (resource.RLIM_INFINITY, 24, "264 members are more than 256"),
        (4096, 8, ""),
    ],
)
def test_members_beyond_a_limit_are_one_table_and_that_is_said(
    config: ConfigDict,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    hard: int,
    seeds: int,
    said: str,
) -> None:
    config.sweep.num, config.sweep.seeds, config.wandb.mode = 10, seeds, "offline"
    monkeypatch.delenv("WANDB_DIR", raising=False)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, hard))
    monkeypatch.setattr(opening, "Mirror", lambda plan, *_: plan)
    experiment = build_experiment(config)
    warnings: list[str] = []
    plan = opening.open_tracker(
        config, "attention", experiment, tmp_path, "f" * 64, True, warnings.append
    )
    if said:
        assert said in warnings[0] and "one table" in warnings[0]
    assert plan.members == (0 if said else experiment.most_members)


def test_too_little_room_is_said_before_anything_is_written(
    config: ConfigDict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.wandb.mode = "offline"
    monkeypatch.delenv("WANDB_DIR", raising=False)
    monkeypatch.setattr(opening, "RUN_BYTES", 2**60)
    warnings: list[str] = []
    experiment = build_experiment(config)
    tracker = opening.open_tracker(
        config, "attention", experiment, tmp_path, "f" * 64, True, warnings.append
    )
    assert tracker.ids() == {"mode": "disabled"}
    (line,) = warnings
    assert "MB of room" in line and not list(tmp_path.iterdir())


def test_a_sweep_without_runs_has_nothing_to_upload(tmp_path: Path) -> None:
    manifest = {"complete": True, "fingerprint": "", "config": {}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BadInput, match="holds no runs of Weights & Biases"):
        waiting(tmp_path)
