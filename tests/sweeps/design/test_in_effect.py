"""What of a router is in effect: settings from everywhere, and its code."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import jax.numpy as jnp
import pytest

from configs import attention, depth_attention
from routers import Attention, AttentionConfig
from sweeps.design.experiment import build_experiment
from sweeps.design.in_effect import code_in_effect, settings_in_effect

ROUTER = """
from lab_routers import scores
from routers import Attention

class Mine(Attention):
    score = scores.score
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "lab_routers"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "mine.py").write_text(ROUTER)
    (folder / "scores.py").write_text("def score(): return 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [one for one in sys.modules if one.startswith("lab_routers")]:
        del sys.modules[name]


def identity(name: str = "lab_routers.mine") -> dict:
    for one in [one for one in sys.modules if one.startswith("lab_routers")]:
        del sys.modules[one]
    importlib.invalidate_caches()
    router = importlib.import_module(name).Mine
    return code_in_effect({"token": (router, AttentionConfig())})


def test_settings_are_recorded_wherever_they_come_from() -> None:
    config = depth_attention.get_config()
    config.model.init.router = 0.07
    found = settings_in_effect(build_experiment(config))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    token = found["token"]
    assert token["router"] == "routers.attention:Attention"
    assert token["settings"]["init_scale"] == 0.07  # of the model's block
    assert token["settings"]["slopes"] == "uniform"
    assert token["settings"]["dtype"] == jnp.dtype("float32").name
    slot, name = config.sweep.knob.split(".")
    assert found[slot]["knobs"][name]["value"] is None  # it is swept
    assert token["knobs"]["content"] == {
        "value": 1.0,
        "neutral": 1.0,
        "low": 0.0,
        "high": None,
    }


def test_own_routers_are_identified_by_our_version() -> None:
    experiment = build_experiment(attention.get_config())
    assert code_in_effect(experiment.routers) == {}
    assert code_in_effect({"token": (Attention, AttentionConfig())}) == {}


def test_code_that_changes_is_another_router(package: Path) -> None:
    before = identity()
    assert identity() == before
    modules = before["token"]["modules"]
    assert sorted(modules) == ["lab_routers.mine", "lab_routers.scores"]
    (package / "scores.py").write_text("def score(): return 2\n\n")
    after = identity()["token"]["modules"]
    assert after["lab_routers.scores"] != modules["lab_routers.scores"]
    assert after["lab_routers.mine"] == modules["lab_routers.mine"]
    (package / "mine.py").write_text(ROUTER + "# edited\n")
    assert (
        identity()["token"]["modules"]["lab_routers.mine"] != after["lab_routers.mine"]
    )


def test_the_version_of_its_distribution_belongs_to_it(package: Path) -> None:
    info = package.parent / "lab_routers-2.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: lab-routers\nVersion: 2.5\n"
    )
    (info / "RECORD").write_text("lab_routers/__init__.py,,\n")
    (info / "top_level.txt").write_text("lab_routers\n")
    assert identity()["token"]["distributions"] == {"lab-routers": "2.5"}
