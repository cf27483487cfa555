"""Faults at run time cost a line, and never the record of a sweep."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import pytest
from ml_collections import ConfigDict
from rich.console import Console

from configs import attention
from sweeps import pipeline
from sweeps.errors import BadInput
from sweeps.pipeline import sweep
from sweeps.report import figures
from sweeps.runtime.output import SteadyStream
from sweeps.storage.contents import check_path
from sweeps.storage.files import checksum, temporary_name, write_json
from sweeps.storage.journal import Journal
from sweeps.storage.manifest import read_manifest
from sweeps.storage.shape import SCHEMA
from sweeps.storage.workdir import read_summary
from sweeps.tracking import opening
from tests import ROOT

SMALL = {"sweep.num": 1, "sweep.seeds": 1}


def configure(tiny: dict[str, Any], **more: Any) -> ConfigDict:
    config = attention.get_config()
    config.update_from_flattened_dict(tiny | SMALL | more)
    return config


def run(config: ConfigDict, workdir: Path, draw: Any = lambda *_: []) -> str:
    """Runs a sweep, whose figures `draw` draws; returns its output on one line."""
    console = Console(file=io.StringIO(), width=300)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "draw_figures", draw)
        sweep(config, workdir, console)
    return " ".join(console.file.getvalue().split())


def fails(*_: Any, **__: Any) -> None:
    raise RuntimeError("no such font\nand more")


@pytest.fixture(scope="module")
def finished(tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("faults") / "sweep"
    run(configure(tiny), workdir)
    return workdir


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def test_the_record_comes_before_the_decoration(
    tiny: dict[str, Any],
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Figures, tracker, diagnosis and the journal's removal all fail."""
    monkeypatch.setattr(opening, "Mirror", fails)
    monkeypatch.setattr(Journal, "clear", fails)
    monkeypatch.setattr(pipeline, "diagnose", fails)
    config = configure(tiny, **{"eval.diagnosed": 1, "wandb.mode": "offline"})
    told = run(config, tmp_path / "sweep", draw=fails)
    for what in ("the diagnosis", "figures", "Weights & Biases", "journal"):
        assert what in told
    assert "and more" not in told
    assert read_manifest(tmp_path / "sweep")["complete"]
    assert read_summary(tmp_path / "sweep")["curve"]  # and the table is whole


def test_figures_do_not_depend_on_the_users_settings(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    import matplotlib

    with matplotlib.rc_context({"text.usetex": True, "font.family": "no such"}):
        told = run(configure(tiny), tmp_path / "sweep", figures.draw_figures)
    assert "drawn" not in told
    assert (tmp_path / "sweep/figures/onset.png").exists()


def test_settings_of_jax_that_change_numbers_are_not_used(
    tiny: dict[str, Any], finished: Path, tmp_path: Path
) -> None:
    jax.config.update("jax_default_prng_impl", "rbg")
    try:
        told = run(configure(tiny), tmp_path / "sweep")
        assert jax.config.jax_default_prng_impl == "rbg"
    finally:
        jax.config.update("jax_default_prng_impl", "threefry2x32")
    assert "JAX_DEFAULT_PRNG_IMPL=rbg: not used" in told
    for name in ("metrics.parquet", "onset.json"):
        assert (tmp_path / "sweep" / name).read_bytes() == (
            finished / name
        ).read_bytes()


def damage_structure(workdir: Path) -> None:
    summary = json.loads((workdir / "onset.json").read_text())
    summary["curve"] = {}
    (workdir / "onset.json").write_text(json.dumps(summary))


def age(workdir: Path) -> None:
    """Makes the record one of an earlier version, whose checksums fit."""
    summary = json.loads((workdir / "onset.json").read_text())
    (workdir / "onset.json").write_text(json.dumps(summary | {"schema": SCHEMA - 1}))
    manifest = json.loads((workdir / "manifest.json").read_text())
    manifest["files"]["onset.json"] = checksum(workdir / "onset.json")
    (workdir / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (age, f"has schema {SCHEMA - 1}, this version reads schema {SCHEMA}"),
        (damage_structure, "onset.json is damaged"),
        (lambda d: (d / "onset.json").write_text("[" * 200_000), "onset.json is"),
        (lambda d: (d / "onset.json").unlink(), "onset.json is damaged"),
        (lambda d: (d / "manifest.json").write_text("{}"), "manifest.json is damaged"),
        (lambda d: (d / "manifest.json").write_text("[]"), "manifest.json is damaged"),
    ],
)
def test_a_damaged_record_is_named(
    damage: Any, named: str, tiny: dict[str, Any], copy: Path
) -> None:
    damage(copy)
    with pytest.raises(BadInput, match=named):
        run(configure(tiny), copy)


def test_what_a_killed_launch_left_unfinished_is_removed(
    tiny: dict[str, Any], copy: Path
) -> None:
    for folder in (copy, copy / "figures", copy / "checkpoints"):
        temporary_name(folder).write_text("half")
    (copy / "figures/notes.tmp").write_text("not ours")
    run(configure(tiny), copy)
    assert [path.name for path in copy.rglob("*tmp*")] == ["notes.tmp"]


def test_what_a_complete_directory_lacks_is_said(
    tiny: dict[str, Any], copy: Path
) -> None:
    shutil.rmtree(copy / "checkpoints/final")
    shutil.rmtree(copy / "figures")
    told = run(configure(tiny), copy)
    assert "lacks" in told
    assert "checkpoints/final" in told
    assert "figures" in told


def test_the_journal_of_another_sweep_is_not_used(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = configure(tiny, seed=1)
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "write", fails)
        with pytest.raises(RuntimeError, match="no such font"):
            run(other, tmp_path / "other")
    shutil.copytree(tmp_path / "other/checkpoints", tmp_path / "sweep/checkpoints")
    manifest = (tmp_path / "other/manifest.json").read_text()
    (tmp_path / "sweep/manifest.json").write_text(manifest)
    with pytest.raises(BadInput, match="seed was 1, now 0"):
        run(configure(tiny), tmp_path / "sweep")
    (tmp_path / "sweep/manifest.json").unlink()
    with pytest.raises(BadInput, match="not empty and holds no sweep"):
        run(configure(tiny), tmp_path / "sweep")


def test_a_link_is_never_written_through(tiny: dict[str, Any], tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("kept")
    workdir = tmp_path / "sweep"
    workdir.mkdir()
    (workdir / ".lock").symlink_to(target)
    with pytest.raises(BadInput, match=".lock is not a regular file"):
        run(configure(tiny), workdir)
    assert target.read_text() == "kept"
    (workdir / "manifest.json").symlink_to(target)
    write_json(workdir / "manifest.json", {})
    assert target.read_text() == "kept"
    assert temporary_name(workdir) != temporary_name(workdir)


def test_leftovers_and_wrong_kinds(tiny: dict[str, Any], tmp_path: Path) -> None:
    workdir = tmp_path / "sweep"
    workdir.mkdir()
    temporary_name(workdir).write_text("of a launch that was killed")
    run(configure(tiny), workdir)
    other = tmp_path / "other"
    other.mkdir()
    (other / "checkpoints").write_text("a file where a folder should be")
    with pytest.raises(BadInput):
        run(configure(tiny), other)


@pytest.mark.parametrize("name", ["lr=[a]", "back\\slash"])
def test_a_path_whose_checkpoints_cannot_be_read_back_is_refused(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="checkpoints could not be read back"):
        check_path(tmp_path / name)


def test_other_unusual_paths_are_used(tiny: dict[str, Any], tmp_path: Path) -> None:
    """Characters that mean something to a shell, a URL, a glob, rich or Markdown."""
    workdir = tmp_path / "a b#c?d%20e*f|g{h}'i\"ü&;$HOME"
    run(configure(tiny), workdir)
    assert read_manifest(workdir)["complete"]
    assert "already holds" in run(configure(tiny), workdir)


def test_provenance_ignores_a_hooks_repository(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sweeps.storage.manifest import _git_commit

    before = _git_commit()
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    assert _git_commit() == before


class Broken(io.StringIO):
    """A stream that nothing can be written to."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")

    def fileno(self) -> int:
        return self.descriptor


def test_lost_output_is_noted_and_not_raised() -> None:
    broken = Broken()
    broken.descriptor = os.open(os.devnull, os.O_WRONLY)
    stream = SteadyStream(broken)
    assert stream.write("text") == 4
    stream.flush()
    assert isinstance(stream.error, BrokenPipeError)
    assert stream.lost is None  # its reader did not want it
    os.close(broken.descriptor)


def command(tiny: dict[str, Any], workdir: Path) -> list[str]:
    flags = [f"--config.{key}={value}" for key, value in (tiny | SMALL).items()]
    config = f"--config={ROOT}/configs/attention.py"
    return ["sweeps.main", "sweep", config, f"--workdir={workdir}", *flags]


@pytest.mark.parametrize(("number", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_signals_before_anything_is_saved(
    number: str, code: int, tiny: dict[str, Any], tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", *command(tiny, tmp_path / "sweep")],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(0.7)  # while it imports
    process.send_signal(getattr(signal, number))
    _, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert err == "onset sweep: interrupted; nothing was saved\n"


def test_a_closed_pipe_and_an_ascii_terminal_do_not_end_a_sweep(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    script = " ".join([f"'{sys.executable}' -m", *map(repr, command(tiny, tmp_path))])
    script = script.replace(f"--workdir={tmp_path}", f"--workdir={tmp_path}/sweep")
    done = subprocess.run(
        ["bash", "-c", f"{script} | head -1; exit ${{PIPESTATUS[0]}}"],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "ascii", "COLUMNS": "40"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert read_manifest(tmp_path / "sweep")["complete"]
