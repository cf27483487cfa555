"""onset compare: the onsets of several sweeps side by side, and what sets them apart.

    onset compare DIR DIR ... [--over=train.length] [--output=FILE] [--figure=FILE]

Reads complete work directories. The settings in which they differ are found by itself.
With ``--over`` the critical value is also shown times that setting, and a power law of
it is fitted.
"""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from scipy import stats

from sweeps.findings.signature_onsets import compare
from sweeps.inference.onset import Onset
from sweeps.storage.workdir import read_manifest, read_summary


class BadInput(ValueError):
    """A setting that cannot run; the message is one line for the user."""


@dataclasses.dataclass(frozen=True)
class Record:
    """A finished sweep.

    Attributes:
      name: of its directory.
      settings: its config, flat, without tracking.
      summary: content of its ``onset.json``.
    """

    name: str
    settings: dict[str, Any]
    summary: dict[str, Any]

    @property
    def onset(self) -> Onset:
        """Of the trained members."""
        return Onset(**self.summary["onset"])

    @property
    def values(self) -> np.ndarray:
        """Of the axis."""
        return np.asarray([point["value"] for point in self.summary["curve"]])


@dataclasses.dataclass(frozen=True)
class PowerLaw:
    """Critical value proportional to a power of a setting.

    Attributes:
      exponent: weighted least squares in the logarithms.
      low: lower end of its 95 % interval.
      high: upper end.
      p_value: of the residuals' chi-square; small where no power law fits.
      sweeps: with closed intervals, which it rests on.
    """

    exponent: float
    low: float
    high: float
    p_value: float
    sweeps: int


def define_flags(values: flags.FlagValues) -> None:
    """Flags of this command."""
    flags.DEFINE_string(
        "over", None, "Setting to scale by, as train.length.", flag_values=values
    )
    flags.DEFINE_string("output", None, "Markdown file to write.", flag_values=values)
    flags.DEFINE_string("figure", None, "PNG file to write.", flag_values=values)


def command(values: flags.FlagValues, *directories: str) -> int:
    """Runs the command; returns its exit code."""
    if values.config is not None:
        raise BadInput("--config: not taken; the directories hold their configs")
    for name in ("output", "figure"):
        path = values[name].value
        if path and not Path(path).parent.is_dir():
            raise BadInput(f"--{name}={path}: no such folder")
    records = read_records([Path(directory) for directory in directories])
    from sweeps.report.comparison import draw, render

    text = render(records, values.over, _flags(values))
    if values.output:
        Path(values.output).write_text(text)
        print(f"wrote {values.output}")
    else:
        print(text, end="")
    if values.figure:
        draw(records, Path(values.figure))
        print(f"wrote {values.figure}")
    return 0


def _flags(values: flags.FlagValues) -> str:
    return f" --over={values.over}" if values.over else ""


def read_records(directories: Sequence[Path]) -> list[Record]:
    """Reads complete sweeps of one knob.

    Raises:
      BadInput: fewer than two, one is missing or incomplete, or the knobs differ.
    """
    if len(directories) < 2:
        raise BadInput(f"{len(directories)} work directories: at least two to compare")
    records = []
    for directory in directories:
        try:
            manifest = read_manifest(directory)
            if not manifest["complete"]:
                raise BadInput(f"{directory}: the sweep is not complete")
            summary = read_summary(directory)
        except ValueError as error:
            raise BadInput(str(error)) from None
        settings = _flatten(manifest["config"])
        records.append(Record(directory.name, settings, summary))
    knobs = {record.summary["knob"] for record in records}
    if len(knobs) > 1:
        raise BadInput(f"sweeps of different knobs: {', '.join(sorted(knobs))}")
    return records


def _flatten(config: dict[str, Any], path: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{path}{key}"
        inner = isinstance(value, dict)
        flat |= _flatten(value, f"{name}.") if inner else {name: value}
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


def verdict(first: Record, other: Record) -> str:
    """Whether two sweeps' onsets are at the same place, as `sweeps.findings.signature_onsets.compare`."""
    censored = other if other.onset.estimate is None else first
    return compare(first.onset, other.onset, censored.values)


def scale_of(record: Record, setting: str) -> float:
    """A setting as a positive number.

    Raises:
      BadInput: it is none.
    """
    value: Any = record.settings.get(setting)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value < math.inf:
        raise BadInput(
            f"--over={setting}: {value} in {record.name}; a positive number is needed"
        )
    return float(value)


def fit_power_law(scales: Sequence[float], onsets: Sequence[Onset]) -> PowerLaw | None:
    """Fits ln(critical value) = constant + exponent ln(scale).

    The errors are the intervals' own, taken as normal in the logarithm.

    Returns:
      None with fewer than three closed intervals or two different scales.
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
