"""The onsets of several finished sweeps, side by side, and what sets them apart."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from sweeps.errors import BadInput
from sweeps.inference.agreement import compare_onsets
from sweeps.inference.onset import Onset
from sweeps.storage.workdir import read_manifest, read_summary


@dataclasses.dataclass(frozen=True)
class Record:
    """A finished sweep, read from its work directory.

    Attributes:
      name: Name of the directory, with as many of its parents as tell it apart.
      settings: The config as a flat dict, without the tracking settings.
      summary: Content of ``onset.json``.
    """

    name: str
    settings: dict[str, Any]
    summary: dict[str, Any]

    @property
    def onset(self) -> Onset:
        """The onset of the trained members."""
        return Onset(**self.summary["onset"])

    @property
    def values(self) -> np.ndarray:
        """The values of the axis."""
        return np.asarray([point["value"] for point in self.summary["curve"]])


@dataclasses.dataclass(frozen=True)
class PowerLaw:
    """A fit of the critical value as proportional to a power of a setting.

    Attributes:
      exponent: Exponent, by weighted least squares in the logarithms.
      low: Lower end of the exponent's 95 % interval.
      high: Upper end of that interval.
      p_value: p-value of the residuals' chi-square; small where no power law fits.
      sweeps: Number of sweeps with closed intervals, on which the fit rests.
    """

    exponent: float
    low: float
    high: float
    p_value: float
    sweeps: int


def read_records(directories: Sequence[Path]) -> list[Record]:
    """Reads complete sweeps of one knob.

    Raises:
      BadInput: there are fewer than two, one is missing or incomplete, or their knobs
        differ.
    """
    if len(directories) < 2:
        raise BadInput(
            f"{len(directories)} work directories: a comparison needs at least two"
        )
    records = []
    for directory, name in zip(directories, directory_names(directories), strict=True):
        manifest = read_manifest(directory)
        if not manifest["complete"]:
            raise BadInput(f"{directory}: the sweep is not complete")
        settings = flat_settings(manifest["config"])
        records.append(Record(name, settings, read_summary(directory)))
    knobs = {record.summary["knob"] for record in records}
    if len(knobs) > 1:
        raise BadInput(f"the sweeps have different knobs: {', '.join(sorted(knobs))}")
    return records


def directory_names(directories: Sequence[Path]) -> list[str]:
    """The shortest ends of paths that differ; a directory given twice is numbered."""
    paths = [directory.resolve() for directory in directories]
    different = set(paths)
    names = []
    for index, path in enumerate(paths):
        parts = 1
        while parts < len(path.parts) and any(
            other.parts[-parts:] == path.parts[-parts:] for other in different - {path}
        ):
            parts += 1
        earlier = paths[:index].count(path)
        again = f" ({earlier + 1})" if earlier else ""
        names.append(str(Path(*path.parts[-parts:])) + again)
    return names


def flat_settings(config: dict[str, Any], path: str = "") -> dict[str, Any]:
    """A config as a flat dict by dotted names, without the tracking settings."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{path}{key}"
        inner = isinstance(value, dict)
        flat |= flat_settings(value, f"{name}.") if inner else {name: value}
    return {key: v for key, v in flat.items() if not key.startswith("wandb.")}


def differing(records: Sequence[Record]) -> list[str]:
    """Settings that are not the same in all sweeps, in the order of the config."""
    names = dict.fromkeys(name for record in records for name in record.settings)
    first = records[0].settings
    return [
        name
        for name in names
        if any(record.settings.get(name) != first.get(name) for record in records)
    ]


def caveats(records: Sequence[Record]) -> list[str]:
    """What differs between the sweeps besides what is studied, one sentence each."""
    found = []
    alone = [record.name for record in records if not record.values.any()]
    if alone:
        found.append(
            f"Without an onset, because {records[0].summary['knob']} = 0 is the only "
            f"value: {', '.join(alone)}."
        )
    criteria = [record.summary["criterion"] for record in records]
    keys = [key for key in criteria[0] if len({str(one[key]) for one in criteria}) > 1]
    if keys:
        found.append(
            f"The criteria differ ({_values(keys, criteria)}): *collapsed* does not "
            "mean the same in all sweeps, so their critical values are not comparable."
        )
    steps = _known(records, "train.steps")
    if len(set(steps)) > 1:
        found.append(
            f"The numbers of training steps differ ({_listed(steps)}): a difference "
            "between the critical values may be one of training time."
        )
    seeds = [
        name
        for name in ("seed", "sweep.data_seeds", "sweep.seeds")
        if len(set(_known(records, name))) > 1
    ]
    if seeds:
        settings = [record.settings for record in records]
        found.append(
            f"The seeds differ ({_values(seeds, settings)}): the sweeps did not start "
            "from the same networks and data, and fewer seeds give wider intervals."
        )
    return found


def _known(records: Sequence[Record], name: str) -> list[Any]:
    """Values of a setting where there is one; a measured model has no training."""
    known = [record.settings.get(name) for record in records]
    return [value for value in known if value is not None]


def _values(keys: Sequence[str], blocks: Sequence[dict[str, Any]]) -> str:
    return "; ".join(
        f"{key} is {_listed([block.get(key) for block in blocks])}" for key in keys
    )


def _listed(values: Sequence[Any]) -> str:
    known = [value for value in values if value is not None]
    return " or ".join(dict.fromkeys(map(str, known)))


def verdict(first: Record, other: Record) -> str:
    """Whether two sweeps' onsets are at the same place; see `compare_onsets`."""
    censored = other if other.onset.estimate is None else first
    return compare_onsets(first.onset, other.onset, censored.values)


def scale_of(record: Record, setting: str) -> float:
    """A setting as a positive number.

    Raises:
      BadInput: the setting is not a positive number.
    """
    value: Any = record.settings.get(setting)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value < math.inf:
        raise BadInput(
            f"--over={setting}: must be a positive number, but is {value} in "
            f"{record.name}"
        )
    return float(value)


def fit_power_law(scales: Sequence[float], onsets: Sequence[Onset]) -> PowerLaw | None:
    """Fits ln(critical value) = constant + exponent ln(scale).

    Each critical value's error is taken from its interval, as normal in the logarithm.

    Returns:
      None with fewer than three closed intervals, or fewer than two different scales.
    """
    points = [
        (math.log(scale), math.log(o.estimate), math.log(o.high / o.low) / 2)
        for scale, o in zip(scales, onsets, strict=True)
        if o.estimate is not None and o.low is not None and o.high is not None
    ]
    if len(points) < 3 or len({x for x, _, _ in points}) < 2:
        return None
    x, y, half = np.asarray(points).T
    quantile = float(stats.norm.ppf(0.975))
    weight = (quantile / half) ** 2
    centred = x - np.average(x, weights=weight)
    spread = float((weight * centred**2).sum())
    exponent = float((weight * centred * y).sum() / spread)
    fitted = np.average(y, weights=weight) + exponent * centred
    residual = float((weight * (y - fitted) ** 2).sum())
    reach = quantile / math.sqrt(spread)
    return PowerLaw(
        exponent=exponent,
        low=exponent - reach,
        high=exponent + reach,
        p_value=float(stats.chi2.sf(residual, len(x) - 2)),
        sweeps=len(x),
    )
