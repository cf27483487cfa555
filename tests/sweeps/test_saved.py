"""A finished sweep opened in Python: what it computes is what the sweep measured."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from rich.console import Console

import sweeps
from configs import attention
from sweeps.errors import BadInput
from sweeps.pipeline import sweep
from sweeps.saved import SavedSweep

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def run(tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> SavedSweep:
    config = attention.get_config()
    config.update_from_flattened_dict(tiny)
    workdir = tmp_path_factory.mktemp("saved") / "sweep"
    sweep(config, workdir, Console(file=io.StringIO()))
    return sweeps.load(workdir)


def test_a_members_loss_and_routing_are_those_of_the_table(run: SavedSweep) -> None:
    value = run.curve[-1]["value"]
    member = run.member(seed=1, brake=value)
    inputs, targets = run.held_out
    here = (
        (pc.field("step") == run.experiment.steps)
        & (pc.field("null") == "")
        & (pc.field("layer") == -1)
        & (pc.field("init_seed") == 1)
        & (pc.field(run.grid.axis.knob) == np.float32(value))
    )
    rows = run.table.filter(here).to_pylist()
    found = {row["metric"]: row["value"] for row in rows}
    np.testing.assert_allclose(
        member.loss(inputs, targets), found["loss/held_out"], rtol=1e-4
    )
    weights = np.asarray(member.routing(inputs))[0, :, 0]  # [E, T, S]
    length = weights.shape[-1]
    column = weights.sum(-2) / (length - np.arange(length))
    hub = column[:, : length // 2].max(-1).mean()
    np.testing.assert_allclose(hub, found["concentration/hub_mass"], rtol=1e-4)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)


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


def test_all_members_and_slices_can_be_had(run: SavedSweep) -> None:
    every = run.members()
    assert len(every) == run.grid.members
    at_zero = run.members(brake=0)
    assert [one.seeds[0] for one in at_zero] == sorted(set(run.grid.init_seed.tolist()))
    assert {float(one.knobs["token.brake"]) for one in at_zero} == {0.0}
    assert "attention" in repr(run)
    assert "token.brake=0" in repr(at_zero[0])
    assert run.onset.units == run.experiment.units


def test_what_is_not_there_is_named(run: SavedSweep, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"brake=77: must be one of 0, "):
        run.member(brake=77)
    with pytest.raises(BadInput, match="gain: the swept knob is token.brake"):
        run.member(gain=1)
    with pytest.raises(BadInput, match="token.brake: needs a value, one of 0, "):
        run.member(seed=1)
    with pytest.raises(BadInput, match="seed=9"):
        run.member(seed=9, brake=0)
    manifest = run.manifest | {"complete": False, "files": {}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BadInput, match="is not complete"):
        sweeps.load(tmp_path)
