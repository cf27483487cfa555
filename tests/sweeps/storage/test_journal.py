"""What a journal keeps of a wave comes back, unless it was damaged."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from configs import attention
from sweeps.design.experiment import build_experiment
from sweeps.engine.inputs import make_members
from sweeps.engine.programs import make_loop
from sweeps.inference.snapshot import Snapshot, summarize
from sweeps.runtime.placement import Placement, make_mesh, place, replicate
from sweeps.storage.journal import Journal, kept_folder
from tests.sweeps.storage.damage import cut, flip
from train.checkpoint import checksum, load_part
from train.step import TrainState

MEMBERS = 6


def snapshot_at(step: int) -> Snapshot:
    measures = {
        "concentration/hub_mass": np.full((MEMBERS, 3, 2, 1, 1), step / 10),
        "loss/held_out": np.full((MEMBERS, 3, 2), np.nan),
    }
    losses, diverged = np.arange(6.0) + step, np.asarray([-1, 4, -1, -1, -1, 2])
    return summarize(step, measures, losses, diverged)


@pytest.fixture(scope="module")
def states(tiny: dict[str, Any]) -> TrainState:
    config = attention.get_config()
    config.update_from_flattened_dict(tiny | {"sweep.num": 1, "sweep.seeds": 3})
    experiment = build_experiment(config)
    placement = Placement(2, 1)
    mesh = make_mesh(placement)
    order = np.arange(MEMBERS)
    members = place(mesh, make_members(experiment, experiment.grid, order))
    loop = make_loop(experiment, placement, mesh)
    return jax.jit(loop.init)(members, replicate(mesh, experiment.task))


def fill(folder: Path, states: TrainState, points: int = 3) -> Journal:
    journal = Journal(folder, pytest.fail)
    for point in range(points):
        moved = jax.tree.map(lambda leaf, at=point: leaf + at, states)
        journal.add(0, point, moved, snapshot_at(point))
    journal.wait()
    return journal


def test_what_was_added_comes_back(tmp_path: Path, states: TrainState) -> None:
    saved = fill(tmp_path, states).newest(0, states)
    assert [one.step for one in saved.snapshots] == [0, 1, 2]
    jax.tree.map(
        np.testing.assert_array_equal, saved.snapshots[1].spread, snapshot_at(1).spread
    )
    np.testing.assert_array_equal(saved.snapshots[2].diverged, [-1, 4, -1, -1, -1, 2])
    expected = jax.tree.map(lambda leaf: leaf + 2, states)
    jax.tree.map(np.testing.assert_array_equal, saved.states, expected)
    assert saved.states.step.sharding == states.step.sharding
    assert not (tmp_path / "wave-0000/0000").exists()  # two are kept
    assert Journal(tmp_path, pytest.fail).newest(1, states) is None


def test_other_devices_take_the_same_members(
    tiny: dict[str, Any], tmp_path: Path, states: TrainState
) -> None:
    fill(tmp_path, states)
    for placement in (Placement(1, 1), Placement(1, 4), Placement(2, 2)):
        rows = placement.padded(MEMBERS)
        zeros = jax.tree.map(
            lambda leaf, rows=rows: np.zeros((rows, *leaf.shape[1:]), leaf.dtype),
            states,
        )
        like = place(make_mesh(placement), zeros)
        saved = Journal(tmp_path, pytest.fail).newest(0, like)
        for leaf, first, wanted in zip(
            *map(jax.tree.leaves, (saved.states, states, like)), strict=True
        ):
            np.testing.assert_array_equal(leaf[:MEMBERS], first[:MEMBERS] + 2)
            assert leaf.shape == wanted.shape
            assert leaf.sharding == wanted.sharding


DAMAGES: dict[str, Callable[[Path], None]] = {
    "flipped bits in the measurement": lambda wave: flip(wave / "0002.npz"),
    "a measurement cut short": lambda wave: cut(wave / "0002.npz"),
    "states cut short": lambda wave: [cut(p) for p in data(wave / "0002")],
    "flipped bits in the states": lambda wave: [flip(p) for p in data(wave / "0002")],
    "no metadata": lambda wave: [
        p.unlink() for p in (wave / "0002").rglob("_METADATA")
    ],
    "empty": lambda wave: [p.write_bytes(b"") for p in files(wave / "0002")],
}


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def data(folder: Path) -> list[Path]:
    return [path for path in files(folder) if path.stat().st_size > 500]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_newest_point_falls_back_to_the_one_before(
    damage: str, tmp_path: Path, states: TrainState
) -> None:
    fill(tmp_path, states)
    DAMAGES[damage](tmp_path / "wave-0000")
    told: list[str] = []
    saved = Journal(tmp_path, told.append).newest(0, states)
    assert [one.step for one in saved.snapshots] == [0, 1]
    (line,) = told
    assert "0002 is damaged" in line
    assert "\n" not in line
    expected = jax.tree.map(lambda leaf: leaf + 1, states)
    jax.tree.map(np.testing.assert_array_equal, saved.states, expected)


def test_an_unfinished_save_is_not_damage(tmp_path: Path, states: TrainState) -> None:
    fill(tmp_path, states)
    folder = tmp_path / "wave-0000/0002"
    folder.rename(folder.with_name("0002.orbax-checkpoint-tmp"))
    saved = Journal(tmp_path, pytest.fail).newest(0, states)
    assert [one.step for one in saved.snapshots] == [0, 1]
    assert not list(tmp_path.rglob("*-tmp"))  # Orbax would warn about it


def test_the_checksum_sees_every_bit_and_place(states: TrainState) -> None:
    params = states.params
    before = np.asarray(checksum(params))
    leaves, tree = jax.tree.flatten(params)
    for index, leaf in enumerate(leaves):
        flat = np.array(leaf).ravel()
        changed = flat.copy()
        changed.view(np.uint32)[-1] ^= 1
        moved = np.roll(flat, 1)
        for other in (changed, moved):
            if np.array_equal(other.view(np.uint32), flat.view(np.uint32)):
                continue
            new = [*leaves]
            new[index] = other.reshape(leaf.shape)
            after = np.asarray(checksum(jax.tree.unflatten(tree, new)))
            assert (after != before).nonzero()[0].tolist() == [index]


def test_what_is_kept_stays_and_is_written_anew_by_a_step_done_twice(
    tmp_path: Path, states: TrainState
) -> None:
    journal = fill(tmp_path, states)
    journal.keep(0, 150, jax.tree.map(np.zeros_like, states.params))
    journal.keep(0, 150, states.params)
    journal.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    again = load_part(kept_folder(tmp_path, 0, 150), ())
    jax.tree.map(np.testing.assert_array_equal, again, states.params)
    left = tmp_path / "kept/wave-0000/0000300.orbax-checkpoint-tmp"
    left.mkdir()
    Journal(tmp_path, pytest.fail)
    assert not left.exists()
