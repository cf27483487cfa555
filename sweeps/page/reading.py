"""What a page is made from: work directories, finished or not, read from disk alone."""

import dataclasses
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sweeps.errors import BadInput
from sweeps.findings.comparison import Record, directory_names, flat_settings
from sweeps.page.measures import Layers, read_layers, read_seeds
from sweeps.page.unfinished import Progress, read_progress
from sweeps.storage.files import FIGURES, METRICS, ROUTING
from sweeps.storage.paths import holds_sweep
from sweeps.storage.shape import SEED, showing
from sweeps.storage.workdir import read_manifest, read_summary

MOST_FIGURE_BYTES = 500_000
"""Size of a figure above which it is not put into a page."""


@dataclasses.dataclass(frozen=True)
class Examples:
    """Routing matrices of one seed on one sequence, one for each value of the knob.

    Attributes:
      values: The values, float64 ``[values]``.
      weights: The matrices, float32 ``[values, T, S]``.
      titles: What each of them shows.
      pooled: Number of neighbouring positions that share a row or a column.
    """

    values: np.ndarray
    weights: np.ndarray
    titles: list[str]
    pooled: int


@dataclasses.dataclass(frozen=True)
class Entry:
    """A sweep or a measured model.

    Attributes:
      name: Name of its directory, with as many of its parents as tell it apart.
      directory: Its work directory.
      manifest: Content of ``manifest.json``.
      settings: The config as a flat dict, without the tracking settings.
      summary: Content of ``onset.json``; None if it is not finished.
      seeds: What every member shows, from `read_seeds`; empty if not finished.
      layers: Measures by layer and head, where there are several.
      examples: Routing matrices, where they were kept.
      figures: PNG files by name, for readers without scripts.
      progress: How far it got, if it is not finished.
    """

    name: str
    directory: Path
    manifest: dict[str, Any]
    settings: dict[str, Any]
    summary: dict[str, Any] | None = None
    seeds: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    layers: Layers | None = None
    examples: Examples | None = None
    figures: dict[str, bytes] = dataclasses.field(default_factory=dict)
    progress: Progress | None = None

    @property
    def router(self) -> str:
        """Name of its router, or family of the published model."""
        if self.summary is not None:
            return str(self.summary["router"])
        depth = str(self.knob).startswith("depth.")
        slot = "depth.name" if depth else "router.name"
        return str(self.settings.get(slot, "unknown router"))

    @property
    def knob(self) -> str:
        """The swept knob, as slot and name."""
        if self.summary is not None:
            return str(self.summary["knob"])
        return str(self.settings.get("sweep.knob", self.settings.get("knob", "")))

    @property
    def unit(self) -> str:
        """What the members of one value differ in."""
        return SEED if self.summary is None else str(self.summary["unit"])

    @property
    def record(self) -> Record:
        """What a comparison reads of it, if it is finished."""
        assert self.summary is not None
        return Record(self.name, self.settings, self.summary)


def read_entries(
    directories: Sequence[Path], tell: Callable[[str], None] = lambda _: None
) -> list[Entry]:
    """Reads work directories.

    Args:
      directories: At least one.
      tell: Called with the name of each directory before it is read.

    Raises:
      BadInput: there is none, one holds no sweep, or its results are damaged.
    """
    if not directories:
        raise BadInput("0 work directories: must be at least one")
    entries = []
    for directory, name in zip(directories, directory_names(directories), strict=True):
        tell(name)
        entries.append(_read(directory, name))
    return entries


def _read(directory: Path, name: str) -> Entry:
    if not holds_sweep(directory):
        raise BadInput(
            f"{directory}: must be the work directory of a sweep or a measurement"
        )
    manifest = read_manifest(directory)
    settings = flat_settings(manifest["config"])
    entry = Entry(name, directory, manifest, settings)
    if not manifest["complete"]:
        return dataclasses.replace(entry, progress=read_progress(directory))
    summary = read_summary(directory)
    table = directory / METRICS
    if not table.is_file():
        return dataclasses.replace(entry, summary=summary)
    with showing(f"workdir={directory}: {METRICS}"):
        return dataclasses.replace(
            entry,
            summary=summary,
            seeds=read_seeds(table, summary),
            layers=read_layers(table, summary),
            examples=_read_examples(directory / ROUTING, summary),
            figures=_read_figures(directory / FIGURES),
        )


def _read_examples(path: Path, summary: dict[str, Any]) -> Examples | None:
    """Routing matrices; None if there are none that can be read."""
    try:
        with path.open("rb") as opened, np.load(opened) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    if not {"values", "weights", "layer", "head", "seed", "pooled"} <= arrays.keys():
        return None
    values, weights = arrays["values"], arrays["weights"].astype(np.float32)
    if weights.ndim != 3 or not len(values) == len(weights) == len(arrays["layer"]):
        return None
    titles = [
        f"{summary['knob']} = {value:.4g}, seed {arrays['seed']}, layer {layer}, "
        f"head {head}"
        for value, layer, head in zip(
            values, arrays["layer"], arrays["head"], strict=True
        )
    ]
    return Examples(values, weights, titles, int(arrays["pooled"]))


def _read_figures(folder: Path) -> dict[str, bytes]:
    """The PNG files of a folder that are small enough for a page."""
    if not folder.is_dir():
        return {}
    return {
        path.stem: path.read_bytes()
        for path in sorted(folder.glob("*.png"))
        if path.is_file() and path.stat().st_size <= MOST_FIGURE_BYTES
    }
