"""Routers of other packages are checked before a sweep, once for each version."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from configs import attention
from routers.contract import QUICK
from sweeps.design.experiment import build_experiment
from sweeps.engine import contract
from sweeps.engine.contract import require_contract
from sweeps.errors import BadInput
from sweeps.main import main

HONEST = """
from routers import Attention

class Mine(Attention):
    pass
"""
INVERTED = """
from routers import Attention

class Mine(Attention):
    def combine(self, features, values, geometry, knobs):
        inverted = dict(knobs) | {"brake": -knobs["brake"]}
        return super().combine(features, values, geometry, inverted)
"""
UNTRACEABLE = """
from routers import Attention

class Mine(Attention):
    def project(self, x):
        raise RuntimeError("out of\\nluck")
"""


@pytest.fixture
def offer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Offers a source as the router ``mine``, as an installed package would."""
    site = tmp_path / "site"
    site.mkdir()
    info = site / "mine-1.0.dist-info"
    info.mkdir()
    metadata = "Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n"
    (info / "METADATA").write_text(metadata)
    (info / "entry_points.txt").write_text("[onset.routers]\nmine = mine_router:Mine\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(source: str) -> None:
        (site / "mine_router.py").write_text(source)
        sys.modules.pop("mine_router", None)

    return write


def told(**changed: Any) -> list[str]:
    """What `require_contract` says about a sweep of the router ``mine``."""
    config = attention.get_config()
    config.model.width = 8
    config.router.name = "mine"
    config.router.update(changed)
    lines: list[str] = []
    require_contract(build_experiment(config), lines.append)
    return lines


def test_a_router_that_passes_is_checked_once_for_each_version(
    offer: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    examined = []
    monkeypatch.setattr(
        contract.contract,
        "examine",
        lambda r, checks, longest: examined.append((checks, longest)) or [],
    )
    offer(HONEST)
    assert "checking mine_router:Mine before its first sweep" in told()[0]
    assert told() == []
    assert len(told(rotary=True)) == 1  # another setting
    offer(HONEST + "# edited\n")
    assert len(told()) == 1
    assert told() == []
    assert examined == [(QUICK, 64)] * 3


def test_a_router_that_fails_is_not_swept(
    offer: Callable[[str], None],
    tiny: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = ["--config=configs/attention.py", "--config.router.name=mine"]
    flags += [f"--config.{key}={value}" for key, value in tiny.items()]
    workdir = tmp_path / "sweep"
    for source, named in (
        (INVERTED, r"mixes_what_it_reports on causal geometry: brake=\S+: weight that"),
        (UNTRACEABLE, "RuntimeError: out of luck"),
    ):
        offer(source)
        assert main(["sweep", f"--workdir={workdir}", *flags]) == 2
        err = capsys.readouterr().err
        assert re.search(rf"mine_router:Mine: .* failed; .*{named}", err)
        assert len(err.splitlines()) == 1
        assert not workdir.exists()


def test_a_class_that_is_not_installed_is_named_by_its_module(
    offer: Callable[[str], None],
) -> None:
    offer(HONEST)
    config = attention.get_config()
    config.router.name = "mine_router:Mine"
    (router, _), *_ = build_experiment(config).routers.values()
    assert router.__name__ == "Mine"
    config.router.name = "mine_router:Other"
    with pytest.raises(BadInput, match="router.name='mine_router:Other': cannot be"):
        build_experiment(config)


def test_a_damaged_memory_is_no_memory(
    offer: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contract.contract, "examine", lambda *_, **__: [])
    offer(HONEST)
    assert len(told()) == 1
    (remembered,) = (tmp_path / "cache/onset/contract").iterdir()
    assert json.loads(remembered.read_text()) == []
    remembered.write_text("[")
    assert len(told()) == 1


def test_own_routers_are_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(contract.contract, "examine")
    require_contract(build_experiment(attention.get_config()), pytest.fail)
