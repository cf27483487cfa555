"""The same sweep on eight devices, on fewer, and shared within a batch."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from ml_collections import ConfigDict

from configs import attention
from sweeps.pipeline import sweep
from sweeps.runtime.placement import Placement, choose_placement
from sweeps.storage.workdir import read_manifest
from tests import ROOT

pytestmark = pytest.mark.usefixtures("undrawn")
SIX_MEMBERS = {"sweep.num": 1, "sweep.seeds": 3}
"""They leave two of eight devices idle, or take turns in four groups of two."""

ON_EIGHT = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
from configs import attention
from sweeps import pipeline
from sweeps.runtime.stop_signal import Stopped
from sweeps.pipeline import sweep

# As in `undrawn`, and without Matplotlib, which is slow to import.
sys.modules["sweeps.report.figures"] = SimpleNamespace(draw_figures=lambda *_: [])
folder, settings = Path(sys.argv[1]), json.loads(sys.argv[2])

def run(name, **more):
    config = attention.get_config()
    config.update_from_flattened_dict(settings | more)
    sweep(config, folder / name)

def stop(_):
    raise Stopped

run("members")
run("members x data", **{"sweep.data": 2})
pipeline.StopSignal.check = stop
try:
    run("stopped", **{"sweep.data": 2})
except Stopped:
    print("stopped")
"""


def configure(settings: dict[str, Any]) -> ConfigDict:
    config = attention.get_config()
    config.update_from_flattened_dict(settings)
    return config


@pytest.fixture(scope="module")
def settings(tiny: dict[str, Any]) -> dict[str, Any]:
    return tiny | SIX_MEMBERS


@pytest.fixture(scope="module")
def on_eight(
    settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Three sweeps in a process that has eight devices; the last was stopped."""
    folder = tmp_path_factory.mktemp("eight")
    flags = "--xla_force_host_platform_device_count=8 " + os.environ["XLA_FLAGS"]
    done = subprocess.run(
        [sys.executable, "-c", ON_EIGHT, str(folder), json.dumps(settings)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "stopped"
    return folder


@pytest.fixture(scope="module")
def on_two(
    settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> np.ndarray:
    workdir = tmp_path_factory.mktemp("two") / "sweep"
    sweep(configure(settings), workdir)
    return values(workdir)


def values(workdir: Path) -> np.ndarray:
    return pq.read_table(workdir / "metrics.parquet")["value"].to_numpy()


@pytest.mark.parametrize(
    ("name", "devices", "data"), [("members", 6, 1), ("members x data", 8, 2)]
)
def test_eight_devices_find_what_two_do(
    name: str, devices: int, data: int, on_eight: Path, on_two: np.ndarray
) -> None:
    layout = read_manifest(on_eight / name)["placement"]
    assert layout == {"devices": devices, "width": 1, "data": data}
    np.testing.assert_allclose(values(on_eight / name), on_two, rtol=1e-4, atol=1e-5)


def test_two_devices_end_what_eight_began(
    settings: dict[str, Any], on_eight: Path, on_two: np.ndarray
) -> None:
    workdir = on_eight / "stopped"
    assert not (workdir / "onset.json").exists()
    assert list(workdir.glob("checkpoints/wave-0000/*.npz"))
    sweep(configure(settings | {"sweep.data": 2}), workdir)
    np.testing.assert_allclose(values(workdir), on_two, rtol=1e-4, atol=1e-5)


def test_groups_of_devices_are_checked() -> None:
    assert choose_placement(2, 1, 5, data=2) == Placement(2, 1, 2)
    assert Placement(8, 2, 4).padded(5) == 8
    with pytest.raises(ValueError, match="sweep.data=3: must divide the 2 devices"):
        choose_placement(0, 1, 5, data=3)


def test_a_batch_must_divide(settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="sweep.data=3: must divide the 4 rows"):
        sweep(configure(settings | {"sweep.data": 3}), tmp_path / "sweep")
    with pytest.raises(ValueError, match="sweep.data=0"):
        sweep(configure(settings | {"sweep.data": 0}), tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()
