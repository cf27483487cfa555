"""A router of another package: documented, checked, installed and swept."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sweeps.main import main
from tests import ROOT

OUTSIDE = ROOT / "tests/outside"
pytestmark = pytest.mark.usefixtures("undrawn")
PAGE = (ROOT / "docs/add_a_router.md").read_text()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, installed by pip into a folder of its own."""
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    local = ["--disable-pip-version-check", f"--target={target}", str(OUTSIDE)]
    source = tmp_path_factory.mktemp("source")
    for name in ("capped_attention.py", "linear_attention.py", "pyproject.toml"):
        (source / name).write_text((OUTSIDE / name).read_text())
    subprocess.run([*pip, *local[:-1], str(source)], check=True)
    return target


def test_the_page_shows_the_package_as_it_is() -> None:
    capped, linear, config = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    (entry,) = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    assert capped == (OUTSIDE / "capped_attention.py").read_text()
    assert linear == (OUTSIDE / "linear_attention.py").read_text()
    assert config == (OUTSIDE / "config.py").read_text()
    assert entry in (OUTSIDE / "pyproject.toml").read_text()


@pytest.mark.parametrize("name", ["capped_attention", "linear_attention"])
def test_it_is_checked_and_swept_by_name(
    name: str,
    installed: Path,
    tiny: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.syspath_prepend(str(installed))
    setting = {"capped_attention": "cap=4", "linear_attention": "heads=2"}[name]
    assert main(["check", name, "--width=8", "--set", setting]) == 0
    out = capsys.readouterr().out
    assert "checks passed" in out and "not checked" not in out
    flags = [f"--config.{key}={value}" for key, value in tiny.items()]
    if name == "linear_attention":
        own = f"router = ConfigDict({{'name': '{name}'}})"
        text = (OUTSIDE / "config.py").read_text()
        text = re.sub(r"router = ConfigDict.*", own, text)
        (tmp_path / "config.py").write_text(text)
        config = f"--config={tmp_path}/config.py"
    else:
        config = f"--config={OUTSIDE}/config.py"
    workdir = tmp_path / "sweep"
    assert main(["sweep", config, f"--workdir={workdir}", *flags]) == 0
    assert (workdir / "onset.json").exists()


BROKEN = """
import jax.numpy as jnp
from routers import Attention

class LooksAhead(Attention):
    def combine(self, features, values, geometry, knobs):
        unmasked = geometry.replace(mask=jnp.ones_like(geometry.mask))
        return super().combine(features, values, unmasked, knobs)

class NoRouter:
    pass
"""


def test_a_broken_router_fails_with_its_values(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "broken_router.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["check", "broken_router:LooksAhead"]) == 1
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if "ignores_the_future" in line)
    assert "FAILED" in row
    assert re.search(r"y before position 1, after which x changed: found \S+", row)
    assert re.search(r"instead of \S+ at batch 0, query 0, channel \d+", out)


@pytest.mark.parametrize(
    ("target", "named"),
    [
        ([], "name the router"),
        (["oracle"], "oracle"),
        (["nowhere.module:Router"], "cannot be imported"),
        (["routers.base:Knob"], "routers.base:Knob: must be a subclass"),
        (["attention", "--width=0"], "--width=0"),
        (["attention", "surplus"], "surplus"),
        (["attention", "--set", "head=2"], "dtype, heads, init_scale, rotary, slopes"),
        (["attention", "--set", "heads"], "NAME=VALUE"),
        (["attention", "--set", "heads=two"], "must be of type int"),
        (["attention", "--set", "heads=0"], "heads=0: must be at least 1"),
        (["attention", "--set", "dtype=float8"], "float8"),
        (["attention", "--seed=-1"], "--seed=-1"),
        (["attention", f"--config={OUTSIDE}/../../configs/gla.py"], "not both"),
        (["--set", "heads=2", f"--config={ROOT}/configs/gla.py"], "--config.router"),
    ],
)
def test_routers_that_cannot_be_found_are_named(
    target: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", *target]) == 2
    err = capsys.readouterr().err
    assert named in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "source", ["def broken(:", "1 / 0", "raise SystemExit(0)", "import nowhere_at_all"]
)
def test_a_broken_package_is_one_line(
    source: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "raises_on_import.py").write_text(source)
    offer = tmp_path / "raises-1.0.dist-info"
    offer.mkdir()
    (offer / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: raises\nVersion: 1.0\n"
    )
    (offer / "entry_points.txt").write_text(
        "[onset.routers]\nraises = raises_on_import:Router\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for target in ("raises", "raises_on_import:Router"):
        assert main(["check", target]) == 2
        err = capsys.readouterr().err
        assert len(err.splitlines()) == 1
        assert target in err
        assert "loaded" in err or "imported" in err
