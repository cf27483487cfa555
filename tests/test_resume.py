"""A sweep that was stopped or killed ends as if nothing had happened, to the bit."""

import dataclasses
import io
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache
from ml_collections import ConfigDict
from rich.console import Console

from configs import attention
from sweeps import session
from sweeps.compilation import keep_compiled
from sweeps.criterion import Snapshot, summarize
from sweeps.experiment import build_experiment
from sweeps.grid import Grid
from sweeps.journal import Journal
from sweeps.placement import Placement, choose_placement, make_mesh, place
from sweeps.rounds import prepare_turns, train
from sweeps.run import Sweep
from sweeps.stopping import Stopped, Stopping
from sweeps.sweep import BadInput, sweep
from train.checkpoint import checksum

RECORD = ("metrics.parquet", "onset.json")
REFINED = {
    "sweep.num": 4,
    "sweep.seeds": 4,
    "model.init.router": 0.5,
    "criterion.quantile": 0.01,
    "criterion.margin": 0.0,
    "sweep.refine.rounds": 1,
    "sweep.refine.num": 2,
}


def configure(overrides: dict[str, Any], **more: Any) -> ConfigDict:
    config = attention.get_config()
    config.update_from_flattened_dict(overrides | {"eval.points": 3} | more)
    return config


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


def record(workdir: Path) -> dict[str, bytes]:
    return {name: (workdir / name).read_bytes() for name in RECORD}


class StopAfter:
    """Asks to stop at a measurement, by the signal itself."""

    def __init__(self, count: int, number: int) -> None:
        self.left, self.number = count, number

    def __call__(self, *_: Any) -> None:
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(self.number)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same programs are compiled once, as on a user's machine."""
    folder = tmp_path_factory.mktemp("cache")
    settings = {
        "jax_enable_compilation_cache": True,
        "jax_compilation_cache_dir": str(folder),
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    keep_compiled()
    yield folder
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.fixture(scope="module")
def whole(
    tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, cache: Path
) -> Path:
    workdir = tmp_path_factory.mktemp("whole") / "sweep"
    sweep(configure(tiny), workdir, quiet())
    assert not list(workdir.glob("checkpoints/turn-*"))
    assert list(cache.iterdir())
    return workdir


def test_stopped_at_every_measurement_it_goes_on_to_the_same_bits(
    tiny: dict[str, Any],
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workdir = tmp_path / "sweep"
    for count in range(1, 5):
        stop = StopAfter(count, (signal.SIGTERM, signal.SIGINT)[count % 2])
        original = session.Stopping.check

        def check(
            self: Stopping,
            stop: Callable[[], None] = stop,
            original: Callable[[Stopping], None] = original,
        ) -> None:
            stop()
            original(self)

        with monkeypatch.context() as patch:
            patch.setattr(session.Stopping, "check", check)
            with pytest.raises(Stopped):
                sweep(configure(tiny), workdir, quiet())
        assert not (workdir / "onset.json").exists()
        assert len(list(workdir.glob("checkpoints/turn-0000/*.npz"))) == count
    trained: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(session, "train", counting(trained))
        sweep(configure(tiny), workdir, quiet())
    assert trained == [0]  # the last stop was after the last chunk
    assert record(workdir) == record(whole)


def counting(trained: list[int]) -> Callable[..., Any]:
    """`train`, noting how many chunks it runs."""

    def wrapped(experiment: Any, prepared: Sweep, *rest: Any) -> Any:
        chunk, count = prepared.programs.chunk, [0]

        def counted(*args: Any) -> Any:
            count[0] += 1
            return chunk(*args)

        programs = dataclasses.replace(prepared.programs, chunk=counted)
        prepared = dataclasses.replace(prepared, programs=programs)
        result = train(experiment, prepared, *rest)
        trained.append(count[0])
        return result

    return wrapped


def test_a_refined_sweep_goes_on_in_any_turn(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    experiment = build_experiment(configure(tiny, **REFINED))
    placement = choose_placement(0, 1, experiment.turn * experiment.units)
    prepared = prepare_turns(experiment, placement)
    expected, _ = train(experiment, prepared, lambda *_: None)
    measurements = (experiment.points + 1) * experiment.turns
    for stop_after in (2, 5, 9, 12):
        assert stop_after <= measurements
        journal = Journal(tmp_path / str(stop_after), pytest.fail)
        seen = []

        def observe(
            grid: Grid,
            snapshot: Snapshot,
            _: np.ndarray,
            seen: list[int] = seen,
            stop_after: int = stop_after,
        ) -> None:
            seen.append(snapshot.step)
            if len(seen) == stop_after:
                raise Stopped

        with pytest.raises(Stopped):
            train(experiment, prepared, observe, journal)
        journal.wait()
        again = Journal(tmp_path / str(stop_after), pytest.fail)
        trained, _ = train(experiment, prepared, lambda *_: None, again)
        assert again.restored > 0
        jax.tree.map(np.testing.assert_array_equal, trained.states, expected.states)


def snapshot_at(step: int) -> Snapshot:
    members = 6
    measures = {
        "concentration/hub_mass": np.full((members, 3, 2, 1, 1), step / 10),
        "loss/held_out": np.full((members, 3, 2), np.nan),
    }
    losses, diverged = np.arange(6.0) + step, np.asarray([-1, 4, -1, -1, -1, 2])
    return summarize(step, measures, losses, diverged)


@pytest.fixture(scope="module")
def prepared(tiny: dict[str, Any]) -> Sweep:
    experiment = build_experiment(configure(tiny, **{"sweep.num": 1, "sweep.seeds": 3}))
    return prepare_turns(experiment, Placement(2, 1))


def fill(folder: Path, prepared: Sweep, points: int = 3) -> Journal:
    journal = Journal(folder, pytest.fail)
    for point in range(points):
        states = jax.tree.map(lambda leaf, at=point: leaf + at, prepared.states)
        journal.add(0, point, states, snapshot_at(point))
    journal.wait()
    return journal


def test_what_was_added_comes_back(tmp_path: Path, prepared: Sweep) -> None:
    saved = fill(tmp_path, prepared).newest(0, prepared.states)
    assert [one.step for one in saved.snapshots] == [0, 1, 2]
    jax.tree.map(
        np.testing.assert_array_equal, saved.snapshots[1].spread, snapshot_at(1).spread
    )
    np.testing.assert_array_equal(saved.snapshots[2].diverged, [-1, 4, -1, -1, -1, 2])
    expected = jax.tree.map(lambda leaf: leaf + 2, prepared.states)
    jax.tree.map(np.testing.assert_array_equal, saved.states, expected)
    assert saved.states.step.sharding == prepared.states.step.sharding
    assert not (tmp_path / "turn-0000/0000").exists()  # two are kept
    assert Journal(tmp_path, pytest.fail).newest(1, prepared.states) is None


def test_other_devices_take_the_same_members(
    tiny: dict[str, Any], tmp_path: Path, prepared: Sweep
) -> None:
    fill(tmp_path, prepared)
    members = prepared.experiment.grid.members
    for placement in (Placement(1, 1), Placement(1, 4), Placement(2, 2)):
        rows = placement.padded(members)
        zeros = jax.tree.map(
            lambda leaf, rows=rows: np.zeros((rows, *leaf.shape[1:]), leaf.dtype),
            prepared.states,
        )
        like = place(make_mesh(placement), zeros)
        saved = Journal(tmp_path, pytest.fail).newest(0, like)
        for leaf, first, wanted in zip(
            *map(jax.tree.leaves, (saved.states, prepared.states, like)), strict=True
        ):
            np.testing.assert_array_equal(leaf[:members], first[:members] + 2)
            assert leaf.shape == wanted.shape
            assert leaf.sharding == wanted.sharding


DAMAGES: dict[str, Callable[[Path], None]] = {
    "flipped bits in the measurement": lambda turn: flip(turn / "0002.npz"),
    "a measurement cut short": lambda turn: cut(turn / "0002.npz"),
    "states cut short": lambda turn: [cut(p) for p in data(turn / "0002")],
    "flipped bits in the states": lambda turn: [flip(p) for p in data(turn / "0002")],
    "no metadata": lambda turn: [
        p.unlink() for p in (turn / "0002").rglob("_METADATA")
    ],
    "empty": lambda turn: [p.write_bytes(b"") for p in files(turn / "0002")],
}


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def data(folder: Path) -> list[Path]:
    return [path for path in files(folder) if path.stat().st_size > 500]


def flip(path: Path) -> None:
    """Flips bits of more bytes than a header has that nobody reads."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    for index in range(middle, min(middle + 200, len(content))):
        content[index] ^= 16
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_newest_point_falls_back_to_the_one_before(
    damage: str, tmp_path: Path, prepared: Sweep
) -> None:
    fill(tmp_path, prepared)
    DAMAGES[damage](tmp_path / "turn-0000")
    told: list[str] = []
    saved = Journal(tmp_path, told.append).newest(0, prepared.states)
    assert [one.step for one in saved.snapshots] == [0, 1]
    (line,) = told
    assert "0002 is damaged" in line
    assert "\n" not in line
    expected = jax.tree.map(lambda leaf: leaf + 1, prepared.states)
    jax.tree.map(np.testing.assert_array_equal, saved.states, expected)


def test_an_unfinished_save_is_not_damage(tmp_path: Path, prepared: Sweep) -> None:
    fill(tmp_path, prepared)
    folder = tmp_path / "turn-0000/0002"
    folder.rename(folder.with_name("0002.orbax-checkpoint-tmp"))
    saved = Journal(tmp_path, pytest.fail).newest(0, prepared.states)
    assert [one.step for one in saved.snapshots] == [0, 1]


def test_the_checksum_sees_every_bit_and_place(prepared: Sweep) -> None:
    params = prepared.states.params
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


def test_two_launches_do_not_share_a_directory(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workdir = tmp_path / "sweep"
    refused = []

    def check(self: Stopping) -> None:
        with pytest.raises(BadInput, match="in use by process") as error:
            sweep(configure(tiny), workdir, quiet())
        refused.append(str(error.value))
        raise Stopped

    monkeypatch.setattr(session.Stopping, "check", check)
    with pytest.raises(Stopped):
        sweep(configure(tiny), workdir, quiet())
    assert len(refused) == 1


@pytest.mark.parametrize("name", RECORD)
def test_a_damaged_result_is_not_shown(
    name: str, tiny: dict[str, Any], whole: Path, tmp_path: Path
) -> None:
    workdir = tmp_path / "sweep"
    shutil.copytree(whole, workdir)
    sweep(configure(tiny), workdir, quiet())
    flip(workdir / name)
    with pytest.raises(BadInput, match=f"{name} is damaged"):
        sweep(configure(tiny), workdir, quiet())
