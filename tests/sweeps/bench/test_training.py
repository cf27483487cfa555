"""The benchmark's table at a tiny size, its memory processes and its refusals."""

import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ml_collections import ConfigDict

from sweeps.bench import contestants as bench_programs
from sweeps.bench import memory as bench_memory
from sweeps.bench import training as bench_sweep
from sweeps.bench.contestants import FUNCTIONAL, ONSET, draw_start, one_value
from sweeps.bench.memory import Peak, peak_memory
from sweeps.design.experiment import build_experiment
from sweeps.main import main
from sweeps.runtime.placement import Placement
from tests import ROOT

CONFIGS = ROOT / "configs"
HAS_TORCH = importlib.util.find_spec("torch") is not None
SMALL = ["--members=2", "--steps=2"]


def bench(config: str, tiny: dict[str, Any], *flags: str) -> int:
    overrides = [f"--config.{key}={value}" for key, value in tiny.items()]
    return main(["bench", f"--config={CONFIGS}/{config}.py", *overrides, *flags])


@pytest.fixture(autouse=True)
def short_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_sweep, "LEAST_SECONDS", 0.01)


@pytest.fixture
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is not measured, and torch.compile, which takes a minute, left out."""
    monkeypatch.setattr(bench_sweep, "peak_memory", lambda *_: Peak(12.0, 3.0))
    quick = {name: s for name, s in FUNCTIONAL.items() if not s["compiled"]}
    monkeypatch.setattr(bench_programs, "FUNCTIONAL", quick)
    monkeypatch.setenv("COLUMNS", "160")


@pytest.mark.usefixtures("no_processes")
def test_writes_both_tables_and_the_figure(
    tiny: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bench_sweep, "DRAWN", (1, 16))  # each is compiled
    output, figure = tmp_path / "t.md", tmp_path / "t.png"
    flags = (f"--output={output}", f"--figure={figure}")
    assert bench("attention", tiny, *SMALL, *flags) == 0
    text = output.read_text()
    command, *lines = text.splitlines()
    assert command.startswith("    onset bench --config=")
    assert f"--members=2 --steps=2 --output={output}" in command
    assert "--config.model.width=16" in command
    rows = [line.split("|")[1:-1] for line in lines if line.startswith("| ")]
    table = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}
    for name in (f"{ONSET}, 2 × 1", "Onset, 1 × 1", "Onset, 1 × 2"):
        least, median, most = map(float, table[name][:3])
        assert 0 < least <= median <= most
        assert table[name][-2:] == ["12", "3"]
    counts = [name for name in table if name.isdecimal()]
    assert counts == ["1", "2", "16"]
    assert table["16"][-1] == "1.00"
    assert figure.read_bytes().startswith(b"\x89PNG")
    out = capsys.readouterr().out
    assert ("pip install 'router-sweeps[parity]'" in out) != HAS_TORCH
    assert ("no ratios" in out) != HAS_TORCH
    if HAS_TORCH:
        assert table["PyTorch eager, one by one"][3] == "1.00"


@pytest.mark.usefixtures("no_processes")
def test_a_config_without_a_peer_still_has_its_rows(
    tiny: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench("retention", tiny, *SMALL) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert ONSET in out
    assert "no ratios" in out
    assert "no peer for Retention" in out


def test_a_program_that_fails_is_a_row(
    tiny: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def measured(_: Any, __: Any, ___: Any, name: str) -> Peak:
        return Peak(failure="too large" if name == "Onset, 1 × 2" else "")

    def fails(*_: Any) -> None:
        raise MemoryError("no room\nat all")

    monkeypatch.setattr(bench_sweep, "peak_memory", measured)
    monkeypatch.setattr(bench_programs, "PlainLoop", fails)
    monkeypatch.setattr(bench_programs, "FUNCTIONAL", {})
    monkeypatch.setenv("COLUMNS", "160")
    assert bench("attention", tiny, *SMALL) == 0
    out = capsys.readouterr().out
    assert "not run: too large" in out
    assert "MemoryError: no room" in out
    assert "at all" not in out


def tiny_config(tiny: dict[str, Any]) -> ConfigDict:
    from configs import attention

    config = attention.get_config()
    config.update_from_flattened_dict(tiny)
    return one_value(config, 2, 2)


def test_memory_of_a_process_of_its_own(
    tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "false")  # it is to compile
    config = tiny_config(tiny)
    start, planned = draw_start(build_experiment(config)), Placement(1, 1)
    peak = peak_memory(config, planned, start, f"{ONSET}, 1 × 1")
    assert not peak.failure
    # Compiling alone takes tens; importing JAX once more would take hundreds.
    assert 5 < peak.whole < 400
    assert np.isnan(peak.round) or peak.round < peak.whole


def die(*_: Any) -> None:
    os._exit(9)


def refused_gigabyte(folder: Path, *_: Any) -> Peak:
    bench_memory.MEMORY = folder / "meminfo"
    bench_memory._bound_memory()
    try:
        np.ones(1 << 27)
    except MemoryError as error:
        return Peak(failure=bench_memory.one_line(error))
    return Peak()


def test_a_process_that_dies_is_told(
    tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_memory, "_measure", die)
    peak = peak_memory(tiny_config(tiny), Placement(1, 1), None, "any")
    assert "died" in peak.failure


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="bounded on Linux")
def test_an_allocation_fails_before_the_machine_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "meminfo").write_text("MemAvailable:   200000 kB\n")
    monkeypatch.setattr(bench_memory, "_measure", refused_gigabyte)
    peak = peak_memory(tmp_path, Placement(1, 1), None, "any")
    assert "Memory" in peak.failure


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--members=0"], "--members=0"),
        (["--members=4,x"], "--members=4,x"),
        (["--members="], "--members="),
        (["--steps=0"], "--steps=0"),
        (["--output=/nowhere/at/all.md"], "--output=/nowhere/at/all.md"),
        (["--config.sweep.devices=64"], "sweep.devices=64"),
        (["--config.sweep.knob=token.carry"], "token.carry"),
    ],
)
def test_refuses_in_one_line(
    flags: list[str],
    named: str,
    tiny: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert bench("attention", tiny, *flags) == 2
    out, err = capsys.readouterr()
    assert len(err.splitlines()) == 1
    assert named in err
    assert not out
