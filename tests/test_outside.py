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
PAGE = (ROOT / "docs/add_a_router.md").read_text()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, installed by pip into a folder of its own."""
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    local = ["--disable-pip-version-check", f"--target={target}", str(OUTSIDE)]
    source = tmp_path_factory.mktemp("source")
    for name in ("capped_attention.py", "pyproject.toml"):
        (source / name).write_text((OUTSIDE / name).read_text())
    subprocess.run([*pip, *local[:-1], str(source)], check=True)
    return target


def test_the_page_shows_the_package_as_it_is() -> None:
    router, config = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    (entry,) = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    assert router == (OUTSIDE / "capped_attention.py").read_text()
    assert config == (OUTSIDE / "config.py").read_text()
    assert entry in (OUTSIDE / "pyproject.toml").read_text()


def test_it_is_checked_and_swept_by_name(
    installed: Path,
    tiny: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.syspath_prepend(str(installed))
    assert main(["check", "capped_attention"]) == 0
    assert "checks passed" in capsys.readouterr().out
    flags = [f"--config.{key}={value}" for key, value in tiny.items()]
    config = f"--config={OUTSIDE}/config.py"
    workdir = tmp_path / "sweep"
    assert main(["sweep", config, f"--workdir={workdir}", *flags]) == 0
    assert (workdir / "onset.json").exists()


BROKEN = """
import jax.numpy as jnp
from routers import Attention

class LooksAhead(Attention):
    def mix(self, features, geometry, knobs):
        return super().mix(
            features, geometry.replace(mask=jnp.ones_like(geometry.mask)), knobs
        )

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
    assert re.search(r"y before position 6: \S+ instead of \S+", row)


@pytest.mark.parametrize(
    ("target", "named"),
    [
        ([], "name the router"),
        (["oracle"], "oracle"),
        (["nowhere.module:Router"], "cannot be imported"),
        (["routers.base:Knob"], "routers.base:Knob: must be a subclass"),
        (["attention", "--width=0"], "--width=0"),
        (["attention", "surplus"], "surplus"),
    ],
)
def test_routers_that_cannot_be_found_are_named(
    target: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", *target]) == 2
    err = capsys.readouterr().err
    assert named in err
    assert len(err.splitlines()) == 1
