"""A sweep that was stopped or killed ends as if nothing had happened, to the bit."""

import dataclasses
import io
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from rich.console import Console

from configs import attention
from sweeps import pipeline as session
from sweeps.commands.sweep import BadInput, sweep
from sweeps.design.experiment import build_experiment
from sweeps.design.grid import Grid
from sweeps.engine.train import Sweep
from sweeps.engine.waves import prepare_turns, train
from sweeps.inference.criterion import Snapshot
from sweeps.runtime.placement import choose_placement
from sweeps.runtime.stop_signal import Stopped, Stopping
from sweeps.storage.journal import Journal
from tests.sweeps.storage.damage import flip

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


@pytest.fixture(scope="module")
def whole(tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("whole") / "sweep"
    sweep(configure(tiny), workdir, quiet())
    assert not list(workdir.glob("checkpoints/turn-*"))
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
