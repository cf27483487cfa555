"""The axis of knob values that all figures share."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes  # slow to import, and not needed for a page

INK = "#222222"
COLLAPSED, FREE, DIVERGED = "#c1432e", "#2b6a99", "#999999"
MOST_STEPS = 14
"""Largest number of steps into which an axis is divided, for distances beside it."""


class KnobScale:
    """Places values of a knob on a log axis, with 0 set apart on the left.

    Attributes:
      values: The values, increasing.
      step: Mean distance of neighbouring values above 0, in decades, and at least a
        `MOST_STEPS` th of the axis.
      zero: Place of 0.
      gap: Place between 0 and the first value above it, where the axis is broken.
    """

    def __init__(self, values: np.ndarray) -> None:
        """Makes the axis for increasing values ``[values]``."""
        self.values = values
        positive = np.log10(values[values > 0])
        step = np.diff(positive).mean() if len(positive) > 1 else 1.0
        if len(positive) > 1:  # also where refinement or other sweeps add many values
            step = max(step, np.ptp(positive) / MOST_STEPS)
        first = positive[0] if len(positive) else 0.0
        self.zero = first - 1.6 * step
        self.gap = first - 0.8 * step
        self.step = step

    def __call__(self, value: Any) -> np.ndarray:
        """Positions of values on the axis."""
        value = np.asarray(value, float)
        safe = np.where(value > 0, value, 1.0)
        return np.where(value > 0, np.log10(safe), self.zero)

    def room(self, value: float) -> float:
        """Distance from a value to the nearest other one, at most one step."""
        away = np.abs(self(self.values) - self(value))
        return float(min([self.step, *away[away > 1e-6]]))

    def dress(self, axes: "Axes", label: str) -> None:
        """Sets ticks at round values, a break after 0, the limits and the label."""
        from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

        ticks = self.ticks()
        if 0 in self.values:
            ticks = [self.zero, *ticks]
            if self.values.any():
                axes.axvline(self.gap, color="#dddddd", lw=0.8, ls=(0, (2, 2)))
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(self._name))
        places = self(self.values)
        axes.set_xlim(places.min() - 0.6 * self.step, places.max() + 0.6 * self.step)
        axes.set_xlabel(label)

    def ticks(self) -> list[float]:
        """Places of 1 and 3 in every decade that has values above 0."""
        positive = np.log10(self.values[self.values > 0])
        if not len(positive):
            return []
        low, high = positive[0], positive[-1]
        decades = range(int(np.floor(low)), int(np.ceil(high)) + 1)
        ticks = [float(d + np.log10(m)) for d in decades for m in (1, 3)]
        margin = 1e-6 + 0.25 * self.step
        return [t for t in ticks if low - margin <= t <= high + margin]

    def _name(self, position: float, _: Any) -> str:
        return "0" if np.isclose(position, self.zero) else f"{10**position:.3g}"


def legend_above(axes: "Axes", columns: int) -> None:
    """Puts the legend above the axes, where it cannot cover a point."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=columns,
        columnspacing=1.2,
        handletextpad=0.5,
        borderaxespad=0.3,
    )


def shade_onset(axes: "Axes", onset: dict[str, Any], scale: KnobScale) -> None:
    """Marks the critical value and its interval; an open end extends to the edge."""
    if onset["estimate"] is None:
        return
    low, high = axes.get_xlim()
    left = low if onset["low"] is None else float(scale(onset["low"]))
    right = high if onset["high"] is None else float(scale(onset["high"]))
    if onset["units"] > 1:
        axes.axvspan(left, right, color="#f2e3c6", zorder=0, lw=0)
    axes.axvline(float(scale(onset["estimate"])), color="#a8741a", lw=1.2, zorder=1)


def jitter(members: dict[str, np.ndarray], scale: KnobScale) -> np.ndarray:
    """Positions that put seeds side by side around their value, always in one order."""
    position = scale(members["value"])
    for value in np.unique(members["value"]):
        same = members["value"] == value
        room = scale.room(float(value))
        position[same] += np.linspace(-0.22, 0.22, same.sum()) * room
    return position


def number(value: float | None) -> float:
    """A number for a plot, NaN where there is none."""
    return np.nan if value is None else value
