"""A finished sweep opened in Python: what it computes is what the sweep measured."""

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pyarrow.compute as pc
import pytest
from rich.console import Console

import sweeps
from configs import attention
from sweeps.errors import BadInput
from sweeps.pipeline import sweep
from sweeps.saved import Member, SavedSweep
from tests import ROOT
from tests.sweeps.storage.damage import cut

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def run(tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> SavedSweep:
    """Six members of two devices, which fill them up to eight rows."""
    config = attention.get_config()
    placed = {"sweep.devices": 2, "sweep.width": 2, "train.keep_every": 3}
    config.update_from_flattened_dict(tiny | placed)
    workdir = tmp_path_factory.mktemp("saved") / "sweep"
    sweep(config, workdir, Console(file=io.StringIO()))
    return sweeps.load(workdir)


def measured(run: SavedSweep, member: Member, value: float) -> dict[str, float]:
    """What the table says of a member, over all layers."""
    here = (
        (pc.field("step") == member.step)
        & (pc.field("null") == "")
        & (pc.field("layer") == -1)
        & (pc.field("init_seed") == member.seeds[0])
        & (pc.field(run.grid.axis.knob) == np.float32(value))
    )
    rows = run.table.filter(here).to_pylist()
    return {row["metric"]: row["value"] for row in rows}


def hub_mass(weights: np.ndarray) -> float:
    """Of routing ``[E, T, T]``, over the queries that can see a source."""
    length = weights.shape[-1]
    column = weights.sum(-2) / (length - np.arange(length))
    return float(column[:, : length // 2].max(-1).mean())


@pytest.mark.parametrize("step", [0, 3, 6])
def test_a_members_loss_and_routing_are_those_of_the_table(
    run: SavedSweep, step: int
) -> None:
    """Before, between and after training: steps that were kept, and the last."""
    value = run.curve[-1]["value"]
    assert run.kept_steps == (0, 3, 6)
    member = run.member(seed=1, step=step, brake=value)
    inputs, targets = run.held_out
    found = measured(run, member, value)
    np.testing.assert_allclose(
        member.loss(inputs, targets), found["loss/held_out"], rtol=1e-4
    )
    weights = np.asarray(member.routing(inputs))[0, :, 0]  # [E, T, S]
    np.testing.assert_allclose(
        hub_mass(weights), found["concentration/hub_mass"], rtol=1e-4
    )
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
    assert member.apply(inputs).shape == (*targets.shape, run.experiment.task.outputs)


def test_the_kept_routing_is_that_of_one_seed_at_every_value(run: SavedSweep) -> None:
    with np.load(run.workdir / "routing.npz") as file:
        kept = dict(file)
    assert kept["weights"].dtype == np.float16
    assert kept["values"].tolist() == [point["value"] for point in run.curve]
    inputs, _ = run.held_out
    for place in (0, -1):
        value, seed = float(kept["values"][place]), int(kept["seed"])
        weights = np.asarray(run.member(seed=seed, brake=value).routing(inputs[:1]))
        layer, head = kept["layer"][place], kept["head"][place]
        np.testing.assert_allclose(
            kept["weights"][place], weights[layer, 0, head], atol=1e-3
        )
    page = (run.workdir / "report.html").read_text()
    assert f"seed {seed}, layer {layer}, head {head}" in page


def test_all_members_in_one_call_are_the_single_ones(run: SavedSweep) -> None:
    every = run.members()
    assert len(every) == run.grid.members == 6
    inputs, targets = run.held_out
    for together, alone in (
        (every.loss(inputs, targets), [one.loss(inputs, targets) for one in every]),
        (every.routing(inputs), [one.routing(inputs) for one in every]),
        (every[4:].apply(inputs), [one.apply(inputs) for one in every[4:]]),
    ):
        np.testing.assert_allclose(together, np.stack(alone), rtol=1e-5, atol=1e-6)
    assert every[-1].seeds == (1, 0)
    assert "6 members, token.brake from 0 to 3, step=6" in repr(every)


def test_slices_can_be_had(run: SavedSweep) -> None:
    at_zero = run.members(brake=0, step=3)
    assert [one.seeds[0] for one in at_zero] == sorted(set(run.grid.init_seed.tolist()))
    assert at_zero.knobs["token.brake"].tolist() == [0, 0]
    kept = run.params_at(3)
    jax.tree.map(np.testing.assert_array_equal, at_zero[1].params, row(kept, 1))
    assert "attention" in repr(run)
    assert "3 values of token.brake from 0 to 3 × 2 seeds" in repr(run)
    assert "token.brake=0" in repr(at_zero[0])
    assert run.onset.units == run.experiment.units


def row(tree: Any, number: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[number], tree)


def test_what_is_not_there_is_named(run: SavedSweep, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"brake=77: must be one of 0, "):
        run.member(brake=77)
    with pytest.raises(BadInput, match="gain: the swept knob is token.brake"):
        run.member(gain=1)
    with pytest.raises(BadInput, match="token.brake: needs a value, one of 0, "):
        run.member(seed=1)
    with pytest.raises(BadInput, match="seed=9"):
        run.member(seed=9, brake=0)
    with pytest.raises(BadInput, match="step=2: must be one of 0, 3, 6;"):
        run.members(step=2)
    manifest = run.manifest | {"complete": False, "files": {}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BadInput, match="is not complete"):
        sweeps.load(tmp_path)


def test_damaged_and_missing_parameters_are_named(
    run: SavedSweep, tmp_path: Path
) -> None:
    workdir = tmp_path / "sweep"
    shutil.copytree(run.workdir, workdir)
    kept = workdir / "checkpoints/kept/wave-0000/0000003"
    for path in kept.rglob("*"):
        if path.is_file():
            cut(path)
    shutil.rmtree(workdir / "checkpoints/final")
    broken = sweeps.load(workdir)
    with pytest.raises(BadInput, match="kept/wave-0000/0000003 is damaged") as caught:
        broken.members(step=3)
    assert "\n" not in str(caught.value)
    with pytest.raises(BadInput, match="checkpoints/final is missing"):
        broken.members()
    assert broken.members(step=0)[0].step == 0


def test_a_process_with_one_device_opens_a_sweep_of_two(run: SavedSweep) -> None:
    assert run.manifest["placement"]["devices"] == 2
    script = f"""if True:
        import jax
        jax.config.update("jax_num_cpu_devices", 1)
        import sweeps
        run = sweeps.load({str(run.workdir)!r})
        members = [run.members(step=3), run.members()]
        print(jax.device_count())
        for leaf in jax.tree.leaves([(one.knobs, one.params) for one in members]):
            print(leaf.tobytes().hex())
    """
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    devices, *there = done.stdout.split()
    members = [run.members(step=3), run.members()]
    here = jax.tree.leaves([(one.knobs, one.params) for one in members])
    assert devices == "1"
    assert there == [leaf.tobytes().hex() for leaf in here]


def test_the_notebook_goes_from_the_sweep_to_figures(
    run: SavedSweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its cells, as they stand, in a folder beside the sweep that they name."""
    monkeypatch.setenv("MPLBACKEND", "agg")
    (tmp_path / "docs").mkdir()
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/attention").symlink_to(run.workdir)
    monkeypatch.chdir(tmp_path / "docs")
    path = ROOT / "docs/analysis.ipynb"
    cells = json.loads(path.read_text())["cells"]
    names: dict[str, Any] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    assert len(names["plt"].get_fignums()) == 4
    names["plt"].close("all")
    assert names["masses"].shape == (run.grid.members,)
    assert len(names["losses"]) == len(run.kept_steps)
    assert path.stat().st_size < 100_000
