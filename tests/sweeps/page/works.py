"""Work directories of simulated sweeps, written in milliseconds without training."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from sweeps.findings.summary import summarize_sweep
from sweeps.findings.table import make_table
from sweeps.storage.files import write_arrays, write_json, write_parquet
from sweeps.storage.manifest import checksum
from tests.sweeps.simulated import VALUES, simulate_results

SPREAD = np.geomspace(0.8, 1.2, 8)
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d494441"
    "54789c6360606060000000050001a5f645400000000049454e44ae426082"
)
"""A PNG file."""


def keep(
    folder: Path,
    at: float = 0.5,
    router: str = "attention",
    values: tuple[float, ...] = VALUES,
    units: int = 8,
    unit: str = "seed",
    **more: Any,
) -> Path:
    """A finished sweep whose seeds change around a value.

    Args:
      folder: Its work directory, which does not exist.
      at: Around which value.
      router: Name of its router.
      values: Of the knob.
      units: Number of seeds.
      unit: What the members of one value differ in.
      **more: Facts that stand in the manifest in place of the usual ones.
    """
    folder.mkdir(parents=True)
    results = simulate_results(at * np.geomspace(0.8, 1.2, units), values=values)
    write_parquet(folder / "metrics.parquet", make_table(results))
    write_json(folder / "onset.json", summarize_sweep(results, router, unit))
    size = len(values), 8, 8
    write_arrays(
        folder / "routing.npz",
        {
            "values": np.asarray(values),
            "weights": np.random.default_rng(0).random(size).astype(np.float16),
            "layer": np.zeros(len(values), int),
            "head": np.ones(len(values), int),
            "seed": np.asarray(3),
            "pooled": np.asarray(1),
        },
    )
    (folder / "figures").mkdir()
    (folder / "figures" / "onset.png").write_bytes(PIXEL)
    manifest = {
        "schema": 1,
        "fingerprint": "f" * 8,
        "complete": True,
        "files": digests(folder),
        "config": {
            "router": {"name": router},
            "model": {"layers": 3},
            "sweep": {"knob": "token.brake", "seeds": units},
            "train": {"steps": 40},
        },
        "versions": {"jax": "0.10"},
        "git_commit": "c" * 40,
        "device": {"platform": "cpu", "cores": 2},
        "members": results.experiment.grid.plain(),
        "seconds": {"training": 12.5},
        "member_steps_per_second": 100.0,
        "command": ["onset", "sweep", "--config=x.py"],
    }
    write_json(folder / "manifest.json", manifest | more)
    return folder


def digests(folder: Path) -> dict[str, str]:
    """Checksums of the results, as a manifest holds them."""
    names = ("metrics.parquet", "onset.json")
    return {name: checksum(folder / name) for name in names}


def change_summary(folder: Path, **changes: Any) -> None:
    """Replaces keys of ``onset.json``, with the checksum in the manifest."""
    path = folder / "onset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = digests(folder)
    (folder / "manifest.json").write_text(json.dumps(manifest))
