"""Damaged records of a finished sweep, shown by `onset sweep` and `onset compare`.

The record is made without training, from simulated measurements. One of its files is
then damaged: bytes changed or cut off, another kind of file in its place, or JSON of
another structure, some of it with a checksum that fits, as after an edit by hand or a
change of version.
"""

import copy
import functools
import json
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from ml_collections import ConfigDict

from configs import attention
from sweeps.design.experiment import build_experiment
from sweeps.findings.summary import summarize_sweep
from sweeps.storage import files
from sweeps.storage.manifest import fingerprint, write_manifest
from tests.fuzz_cases import Case, mangled, special, sweep
from tests.sweeps.simulated import simulate_results

SETTINGS = {"task.text": "", "task.symbols": 8, "train.length": 12}
FILES = (files.MANIFEST, files.SUMMARY, files.METRICS)
JSON = FILES[:2]
ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 0.5, 1e308, -1e308, float("nan"), float("inf")),
    *("", "x", "all", "falling", "a\nb", "[/red]", "x" * 5000, "token.brake"),
    *([], {}, [1], [None], ["x"], [[]], {"x": 1}, [{}], 10**400),
]
"""Values that take the place of others."""


@functools.cache
def record() -> dict[str, bytes]:
    """The files of a finished sweep."""
    config = attention.get_config()
    config.update_from_flattened_dict(SETTINGS)
    table = pa.table({"value": np.arange(1000.0)})  # nobody reads what is in it
    results = simulate_results(np.linspace(0.1, 1.0, 5))
    folder = Path(tempfile.mkdtemp(prefix="onset-record-"))
    try:
        files.write_parquet(folder / files.METRICS, table)
        files.write_json(
            folder / files.SUMMARY, summarize_sweep(results, config.router.name)
        )
        write_manifest(folder, config, mark_of(config), complete=True)
        return {name: (folder / name).read_bytes() for name in FILES}
    finally:
        shutil.rmtree(folder)


def mark_of(config: ConfigDict) -> str:
    """The fingerprint that the sweep of this config has."""
    return fingerprint(config, build_experiment(config).task)


def lay_out(folder: Path) -> None:
    """Writes the whole record into a folder, as a work directory."""
    folder.mkdir()
    (folder / files.FIGURES).mkdir()
    for name, content in record().items():
        (folder / name).write_bytes(content)


def restructured(draw: random.Random, content: bytes) -> bytes:
    """The JSON with some of its entries removed, exchanged or added."""
    tree = json.loads(content)
    for _ in range(draw.choice([1, 1, 1, 2, 5])):
        place, depth = tree, draw.randint(0, 4)
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw.choice(keys)
            if depth and isinstance(place[key], dict | list):
                place, depth = place[key], depth - 1
                continue
            if draw.random() < 0.3:
                del place[key]
            else:
                place[key] = copy.deepcopy(draw.choice(ODD))
            break
    if draw.random() < 0.05:
        tree = draw.choice(ODD)
    return json.dumps(tree).encode()


def sign(folder: Path) -> None:
    """Enters the checksums of the files as they are into the manifest."""
    manifest = json.loads((folder / files.MANIFEST).read_text())
    names = (files.METRICS, files.SUMMARY)
    manifest["files"] = {name: files.checksum(folder / name) for name in names}
    (folder / files.MANIFEST).write_text(json.dumps(manifest))


def damaged_record(draw: random.Random, folder: Path) -> Case:
    """A sweep or a comparison that meets a damaged record, or rarely a whole one."""
    whole, other = folder / "whole", folder / "other"
    lay_out(whole)
    lay_out(other)
    name = draw.choice([*FILES, *JSON])
    path, before = whole / name, record()[name]
    way = draw.choice(["bytes", "kind", "missing", *["structure"] * 4])
    signed = False
    if way == "structure" and name in JSON:
        path.write_bytes(restructured(draw, before))
        signed = name == files.SUMMARY and draw.random() < 0.7
        if signed:
            sign(whole)
    elif way == "kind":
        path.unlink()
        special(draw, path)
    elif way == "missing":
        path.unlink()
    else:
        path.write_bytes(mangled(draw, before))
    known = name != files.MANIFEST and not signed
    same = path.is_file() and path.stat().st_size < 10**8
    refused = True if known and not (same and path.read_bytes() == before) else None
    if draw.random() < 0.5:
        order = draw.sample([whole, other], 2)
        flags = draw.choice([[], ["--over=train.length"], ["--over=x"]])
        return Case(["compare", *map(str, order), *flags], refused)
    flags = [f"--config.{key}={value}" for key, value in SETTINGS.items()]
    return Case([*sweep(folder, *flags), f"--workdir={whole}"], refused)
