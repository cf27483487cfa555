"""The structure that the README promises: one-way imports, small rooms, short files."""

import ast
from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

from tests import ROOT

CODE = ("configs", "routers", "train", "sweeps")
FILES = [path for folder in CODE for path in sorted((ROOT / folder).rglob("*.py"))]
ROOMS = sorted({path.parent for path in FILES})
MOST_MODULES = 10
MOST_LINES = 300


def test_imports_run_one_way_and_in_no_circle(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    status = lint_imports("pyproject.toml", no_cache=True)
    assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out


@pytest.mark.parametrize("room", [r for r in ROOMS if "sweeps" in r.parts], ids=str)
def test_a_room_of_sweeps_is_small_and_says_what_belongs_there(room: Path) -> None:
    modules = [path for path in room.glob("*.py") if path.name != "__init__.py"]
    assert len(modules) <= MOST_MODULES
    said = ast.get_docstring(ast.parse((room / "__init__.py").read_text()))
    assert said and "not belong here" in said


def test_files_are_short() -> None:
    tests = sorted((ROOT / "tests").rglob("*.py"))
    long = {
        str(path.relative_to(ROOT)): lines
        for path in (*FILES, *tests)
        if (lines := len(path.read_text().splitlines())) > MOST_LINES
    }
    assert not long


def test_every_room_is_packaged_and_has_its_tests_in_a_folder_of_its_name() -> None:
    packages = (ROOT / "pyproject.toml").read_text()
    for room in ROOMS:
        name = ".".join(room.relative_to(ROOT).parts)
        assert f'"{name}"' in packages, name
    code = {path.relative_to(ROOT) for path in ROOMS}
    for folder in (ROOT / "tests").rglob("__init__.py"):
        mirrored = folder.parent.relative_to(ROOT / "tests")
        assert mirrored in code | {Path(".")}, mirrored
