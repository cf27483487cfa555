"""Paths mean one thing everywhere, and outputs are refused before the work."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.errors import BadInput, printable
from sweeps.main import main
from sweeps.storage.paths import (
    check_name,
    figure_path,
    holds_sweep,
    output_path,
    user_path,
)
from tests import ROOT

CONFIG = f"--config={ROOT}/configs/attention.py"
COMMANDS = {
    "coverage": ["--replicates=1"],
    "refinement": ["--replicates=1"],
    "bench": [CONFIG, "--steps=1"],
    "compare": [".", "."],
}


def a_sweep(folder: Path) -> Path:
    folder.mkdir()
    (folder / "manifest.json").write_text('{"schema": 1, "fingerprint": "ab"}')
    (folder / "onset.json").write_text("the record")
    (folder / "figures").mkdir()
    return folder


@pytest.fixture
def bad(tmp_path: Path) -> dict[str, str]:
    a_sweep(tmp_path / "done")
    (tmp_path / "link").symlink_to(tmp_path / "done/onset.json")
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    return {
        f"{tmp_path}": "is a folder",
        f"{tmp_path}/none/x.md": "its folder does not exist",
        f"{tmp_path}/file/x.md": "its folder does not exist",
        f"{tmp_path}/pipe": "is a pipe",
        f"{tmp_path}/new/": "folder",
        f"{tmp_path}/done/onset.json": "must lie outside",
        f"{tmp_path}/done/figures/new.md": "must lie outside",
        f"{tmp_path}/link": "must lie outside",
        "gs://bucket/x.md": "buckets",
        "~nobody_of_this_name/x.md": "no such home folder",
        f"{tmp_path}/{'x' * 256}": "at most 255 bytes",
        f"{tmp_path}/a\nb": r"a\nb: must be a path in UTF-8",
        f"{tmp_path}/a\udcffb": r"a\udcffb: must be a path in UTF-8",
        " ": "must be a path",
        "/proc/version": "cannot be written",
    }


def contents(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path): path.read_bytes() if stat.S_ISREG(path.lstat().st_mode) else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_outputs_are_refused_before_the_work_by_every_command(
    command: str,
    bad: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = contents(tmp_path)
    for path, named in bad.items():
        if path == "/proc/version" and os.access(path, os.W_OK):
            continue  # root may write everywhere
        assert main([command, *COMMANDS[command], f"--output={path}"]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(f"onset {command}: --output=")
        assert named in err
        assert len(err.splitlines()) == 1
    assert contents(tmp_path) == before


@pytest.mark.parametrize("command", ["bench", "compare"])
@pytest.mark.parametrize("name", ["a.docx", "a", "a.png.txt", ".png/", "a.gif"])
def test_a_figure_that_cannot_be_drawn_is_refused_before_the_work(
    command: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flag = f"--figure={tmp_path}/{name}"
    assert main([command, *COMMANDS[command], flag]) == 2
    err = capsys.readouterr().err
    assert "must end in .png, .pdf or .svg" in err or "folder" in err
    same = [f"--figure={tmp_path}/a.png", f"--output={tmp_path}/a.png"]
    assert main([command, *COMMANDS[command], *same]) == 2
    assert "must be different files" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name", ["a.png", "a.PDF", "a b.svg", "[red].png", "lr=[a].png"]
)
def test_other_figures_and_outputs_are_let_through(name: str, tmp_path: Path) -> None:
    assert figure_path("figure", f"{tmp_path}/{name}") == tmp_path / name
    assert output_path("output", "/dev/null") == Path("/dev/null")
    assert output_path("output", None) is None


def test_the_home_folder_is_expanded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert user_path("workdir", "~/runs") == Path("/home/me/runs")
    assert user_path("workdir", "a~b/~") == Path("a~b/~")


def test_a_folder_holds_a_sweep_only_with_its_manifest(tmp_path: Path) -> None:
    assert holds_sweep(a_sweep(tmp_path / "done"))
    for name, content in (("other", '{"name": "an app"}'), ("empty", "")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(content)
        assert not holds_sweep(tmp_path / name)
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe/manifest.json")
    assert not holds_sweep(tmp_path / "pipe")


@given(st.text(max_size=300))
def test_every_name_is_taken_or_refused_in_one_line(name: str) -> None:
    try:
        check_name("workdir", name)
    except BadInput as error:
        assert len(str(error).splitlines()) == 1
        str(error).encode()
    else:
        assert name.strip() and printable(name) == name


@given(st.text())
def test_what_is_printed_is_one_line_that_any_terminal_takes(text: str) -> None:
    shown = printable(text)
    assert len(shown.splitlines()) <= 1
    shown.encode()
    assert printable(shown) == shown
