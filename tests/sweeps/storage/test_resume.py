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
from sweeps import pipeline
from sweeps.design.experiment import build_experiment
from sweeps.design.grid import Wave
from sweeps.engine.programs import CompiledSweep, compile_sweep
from sweeps.engine.waves import train_sweep
from sweeps.errors import BadInput
from sweeps.inference.snapshot import Snapshot
from sweeps.pipeline import sweep
from sweeps.runtime.placement import choose_placement
from sweeps.runtime.stop_signal import Stopped, StopSignal
from sweeps.saved.checkpoints import kept_params
from sweeps.storage.journal import Journal
from sweeps.storage.manifest import fingerprint
from sweeps.storage.workdir import hold
from tests.sweeps.storage.damage import flip

pytestmark = pytest.mark.usefixtures("undrawn")
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
    often = {"eval.points": 3, "train.keep_every": 2}
    config.update_from_flattened_dict(overrides | often | more)
    return config


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


def record(workdir: Path) -> dict[str, bytes]:
    return {name: (workdir / name).read_bytes() for name in RECORD}


def kept(workdir: Path) -> dict[int, Any]:
    """Parameters of the single wave at every step that was kept."""
    steps = [int(path.name) for path in workdir.glob("checkpoints/kept/wave-0000/*")]
    return {step: kept_params(workdir, step, [6]) for step in sorted(steps)}


class StopAfter:
    """Asks to stop at a measurement, by the signal itself."""

    def __init__(self, count: int, number: int) -> None:
        self.left, self.number = count, number

    def __call__(self, *_: Any) -> None:
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(self.number)


def once(compile_sweep: Callable[..., CompiledSweep]) -> Callable[..., CompiledSweep]:
    """Compiles for the first launch alone; the others get the same programs."""
    compiled: list[CompiledSweep] = []

    def wrapped(*arguments: Any) -> CompiledSweep:
        if not compiled:
            compiled.append(compile_sweep(*arguments))
        return compiled[0]

    return wrapped


@pytest.fixture(scope="module")
def whole(tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("whole") / "sweep"
    sweep(configure(tiny), workdir, quiet())
    assert not list(workdir.glob("checkpoints/wave-*"))
    return workdir


def test_stopped_at_every_measurement_it_goes_on_to_the_same_bits(
    tiny: dict[str, Any],
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workdir, compile_once = tmp_path / "sweep", once(compile_sweep)
    for count in range(1, 5):
        stop = StopAfter(count, (signal.SIGTERM, signal.SIGINT)[count % 2])
        original = pipeline.StopSignal.check

        def check(
            self: StopSignal,
            stop: Callable[[], None] = stop,
            original: Callable[[StopSignal], None] = original,
        ) -> None:
            stop()
            original(self)

        with monkeypatch.context() as patch:
            patch.setattr(pipeline.StopSignal, "check", check)
            patch.setattr(pipeline, "compile_sweep", compile_once)
            with pytest.raises(Stopped):
                sweep(configure(tiny), workdir, quiet())
        assert not (workdir / "onset.json").exists()
        assert len(list(workdir.glob("checkpoints/wave-0000/*.npz"))) == count
    trained: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "train_sweep", counting(trained))
        sweep(configure(tiny), workdir, quiet())
    assert trained == [0]  # the last stop was after the last chunk
    assert record(workdir) == record(whole)
    assert list(kept(workdir)) == [0, 2, 4]
    jax.tree.map(np.testing.assert_array_equal, kept(workdir), kept(whole))


def counting(trained: list[int]) -> Callable[..., Any]:
    """`train_sweep`, noting how many chunks it runs."""

    def wrapped(compiled: CompiledSweep, *rest: Any) -> Any:
        chunk, count = compiled.programs.chunk, [0]

        def counted(*args: Any) -> Any:
            count[0] += 1
            return chunk(*args)

        programs = dataclasses.replace(compiled.programs, chunk=counted)
        compiled = dataclasses.replace(compiled, programs=programs)
        result = train_sweep(compiled, *rest)
        trained.append(count[0])
        return result

    return wrapped


def test_a_refined_sweep_goes_on_in_any_wave(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    experiment = build_experiment(configure(tiny, **REFINED))
    placement = choose_placement(0, 1, experiment.wave_members)
    compiled = compile_sweep(experiment, placement)
    expected = train_sweep(compiled, lambda *_: None)
    measurements = (experiment.points + 1) * experiment.most_waves
    for stop_after in (2, 5, 9, 12):
        assert stop_after <= measurements
        journal = Journal(tmp_path / str(stop_after), pytest.fail)
        seen = []

        def observe(
            wave: Wave,
            snapshot: Snapshot,
            _: np.ndarray,
            seen: list[int] = seen,
            stop_after: int = stop_after,
        ) -> None:
            seen.append(snapshot.step)
            if len(seen) == stop_after:
                raise Stopped

        with pytest.raises(Stopped):
            train_sweep(compiled, observe, journal)
        journal.wait()
        again = Journal(tmp_path / str(stop_after), pytest.fail)
        trained = train_sweep(compiled, lambda *_: None, again)
        assert again.restored > 0
        jax.tree.map(np.testing.assert_array_equal, trained.states, expected.states)


def test_two_launches_do_not_share_a_directory(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workdir = tmp_path / "sweep"
    refused = []

    def check(self: StopSignal) -> None:
        with pytest.raises(BadInput, match="in use by process") as error:
            sweep(configure(tiny), workdir, quiet())
        refused.append(str(error.value))
        raise Stopped

    monkeypatch.setattr(pipeline.StopSignal, "check", check)
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
    (workdir / name).unlink()
    with pytest.raises(BadInput, match=f"{name} is damaged"):
        sweep(configure(tiny), workdir, quiet())


def test_keeping_nothing_leaves_a_sweep_what_it_was_before_it_could(
    tiny: dict[str, Any],
) -> None:
    config, task = configure(tiny), np.zeros(2)
    kept = fingerprint(config, task)
    config.train.keep_every = 0
    off = fingerprint(config, task)
    del config.train.keep_every
    assert fingerprint(config, task) == off != kept


def test_a_launch_that_died_before_its_manifest_is_in_nobodys_way(
    tmp_path: Path,
) -> None:
    (tmp_path / "checkpoints").mkdir()
    with hold(tmp_path):
        pass
    (tmp_path / "checkpoints/wave-0000").mkdir()
    with pytest.raises(BadInput, match="holds no sweep"), hold(tmp_path):
        pass
