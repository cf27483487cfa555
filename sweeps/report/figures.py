"""PNG figures of one sweep, drawn from ``onset.json`` and the results."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from sweeps.report.knob_axis import KnobScale
from sweeps.report.maps import map_layers, map_steps
from sweeps.report.sentences import format_interval
from sweeps.storage.files import replacing

INK = "#222222"
COLLAPSED, FREE, DIVERGED = "#c1432e", "#2b6a99", "#999999"
NULL_STYLE: Any = {
    "uniform": ("#7a7a7a", ":", "null: uniform"),
    "brake_only": ("#3f8f5b", "--", "null: brake only"),
    "untrained": ("#b58900", "-.", "null: untrained"),
}
STYLE: Any = {
    "figure.dpi": 160,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "legend.fontsize": 7.5,
}


def draw_figures(
    folder: Path,
    summary: dict[str, Any],
    members: dict[str, np.ndarray],
    examples: list[tuple[str, np.ndarray]],
    warn: Callable[[str], None] = warnings.warn,
) -> list[Path]:
    """Draws and writes all figures, in a style that no setting of the user changes.

    Args:
      folder: Existing folder to write to.
      summary: Content of ``onset.json``.
      members: Arrays ``[M]`` with the ``value``, ``concentration``, ``collapsed``,
        ``diverged`` and ``onset_step`` of every member.
      examples: Title and routing matrix ``[T, S]`` for each side of the onset.
      warn: Called with one line about every figure that cannot be drawn.

    Returns:
      Paths of the files that were written, in reading order.
    """
    values = np.asarray([point["value"] for point in summary["curve"]])
    scale = KnobScale(values)
    drawings = {
        "onset": lambda: _onset(summary, members, scale),
        "onset_step": lambda: _onset_step(summary, members, scale),
        "map_steps": lambda: map_steps(summary),
        "map_layers": lambda: map_layers(summary),
        "routing": lambda: _routing(examples),
    }
    paths = []
    with plt.rc_context():
        plt.rcdefaults()
        plt.rcParams.update(STYLE)
        for name, draw in drawings.items():
            path = folder / f"{name}.png"
            try:
                _write(path, draw)
            # Fonts, files and libraries below Matplotlib raise anything.
            except Exception as error:
                said = (str(error).strip().splitlines() or [type(error).__name__])[0]
                warn(f"{path.name} could not be drawn: {said[:160]}")
            else:
                paths.append(path)
    return paths


def _write(path: Path, draw: Callable[[], Any]) -> None:
    """Draws a figure and writes it atomically."""
    try:
        with replacing(path) as file:
            draw().savefig(file, format="png", bbox_inches="tight")
    finally:
        plt.close("all")


def _legend_above(axes: Axes, columns: int) -> None:
    """Puts the legend above the axes, where it cannot cover a point."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=columns,
        columnspacing=1.2,
        handletextpad=0.5,
        borderaxespad=0.3,
    )


def _shade_onset(axes: Axes, onset: dict[str, Any], scale: KnobScale) -> None:
    """Marks the critical value and its interval; an open end extends to the edge."""
    if onset["estimate"] is None:
        return
    low, high = axes.get_xlim()
    left = low if onset["low"] is None else float(scale(onset["low"]))
    right = high if onset["high"] is None else float(scale(onset["high"]))
    if onset["units"] > 1:
        axes.axvspan(left, right, color="#f2e3c6", zorder=0, lw=0)
    axes.axvline(float(scale(onset["estimate"])), color="#a8741a", lw=1.2, zorder=1)


def _jitter(members: dict[str, np.ndarray], scale: KnobScale) -> np.ndarray:
    """Positions that put seeds side by side around their value, always in one order."""
    position = scale(members["value"])
    for value in np.unique(members["value"]):
        same = members["value"] == value
        room = scale.room(float(value))
        position[same] += np.linspace(-0.22, 0.22, same.sum()) * room
    return position


def _onset(summary: dict[str, Any], members: dict[str, Any], scale: KnobScale) -> Any:
    figure, (top, middle, bottom) = plt.subplots(
        3, 1, figsize=(5.2, 6.6), sharex=True, height_ratios=(3, 2, 1.4)
    )
    for axes in (top, middle, bottom):
        scale.dress(axes, summary["knob"] if axes is bottom else "")
        _shade_onset(axes, summary["onset"], scale)
    _concentration(top, summary, members, scale)
    _fraction(middle, summary["curve"], scale)
    _loss(bottom, summary["curve"], scale)
    figure.suptitle(_title(summary), x=0.02, ha="left", fontsize=9)
    figure.align_ylabels()
    return figure


def _concentration(
    axes: Axes, summary: dict[str, Any], members: dict[str, Any], scale: KnobScale
) -> None:
    """Draws the concentration of every seed, the threshold and the criterion nulls."""
    curve, criterion = summary["curve"], summary["criterion"]
    x = scale([point["value"] for point in curve])
    for null, (color, line, label) in NULL_STYLE.items():
        high = [point["nulls"].get(null, {}).get("high", np.nan) for point in curve]
        label = f"{label}, {criterion['quantile']:g} quantile"
        axes.plot(x, high, line, color=color, lw=1.1, label=label)
    threshold = criterion["threshold"]
    axes.axhline(threshold, color=INK, lw=0.7)
    right = axes.get_xlim()[1]
    axes.text(right, threshold, f" {threshold:g}", va="center", fontsize=7.5)
    position = _jitter(members, scale)
    kinds = (
        ("collapsed", members["collapsed"], COLLAPSED, "o"),
        ("not collapsed", ~members["collapsed"] & ~members["diverged"], FREE, "o"),
        ("diverged", members["diverged"], DIVERGED, "x"),
    )
    for label, chosen, color, marker in kinds:
        if chosen.any():
            axes.plot(
                position[chosen],
                members["concentration"][chosen],
                marker,
                ms=3.6,
                mew=0.9,
                color=color,
                label=f"one seed, {label}",
            )
    name = criterion["metric"].split("/")[-1]
    if name == "hub_mass":
        axes.set_ylim(-0.02, 1.02)
    else:
        axes.set_ylim(0, None)
    axes.set_ylabel(name.replace("_", " "))
    _legend_above(axes, columns=2)


def _fraction(axes: Axes, curve: list[dict[str, Any]], scale: KnobScale) -> None:
    """Draws the collapse fraction with its exact interval; no line leads to 0."""
    values = np.asarray([point["value"] for point in curve])
    alive = np.asarray([p["members"] - p["diverged"] for p in curve])
    collapsed = np.asarray([p["collapsed"] for p in curve])
    fraction = np.where(alive > 0, collapsed / np.maximum(alive, 1), np.nan)
    x = scale(values)
    low = [point["fraction"]["low"] for point in curve]
    high = [point["fraction"]["high"] for point in curve]
    axes.vlines(x, low, high, color=COLLAPSED, lw=1, alpha=0.55)
    axes.plot(x, fraction, "o", ms=4, color=COLLAPSED)
    axes.plot(x[values > 0], fraction[values > 0], "-", lw=1, color=COLLAPSED)
    axes.axhline(0.5, color=INK, lw=0.7)
    axes.set_ylim(-0.04, 1.04)
    axes.set_ylabel("collapse fraction\n(exact 95 %)")


def _loss(axes: Axes, curve: list[dict[str, Any]], scale: KnobScale) -> None:
    """Draws the held-out loss: median and quartiles over seeds."""
    x = scale([point["value"] for point in curve])
    low, median, high = (
        [_number(point["loss"][key]) for point in curve]
        for key in ("low", "median", "high")
    )
    axes.vlines(x, low, high, color=FREE, lw=1, alpha=0.55)
    axes.plot(x, median, "o", ms=3.5, color=FREE)
    axes.set_ylabel("held-out loss\n(nats, quartiles)")


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def _title(summary: dict[str, Any]) -> str:
    onset, knob = summary["onset"], summary["knob"]
    if onset["estimate"] is None:
        where = {
            "all": "at least half collapsed at every value tried",
            "none": "at most half collapsed at every value tried",
            None: "no estimate",
        }[onset["censored"]]
        return f"{summary['router']}: {where}"
    known = f"95 % {format_interval(onset['low'], onset['high'])}"
    known = known if onset["units"] > 1 else "one seed, no interval"
    return f"{summary['router']}: critical {knob} {onset['estimate']:.3g}, {known}"


def _onset_step(
    summary: dict[str, Any], members: dict[str, Any], scale: KnobScale
) -> Any:
    figure, axes = plt.subplots(figsize=(5.2, 3.0))
    scale.dress(axes, summary["knob"])
    end = summary["steps"]
    step = members["onset_step"]
    never = np.isnan(step)
    position = _jitter(members, scale)
    axes.plot(
        position[~never], step[~never], "o", ms=3.6, color=COLLAPSED, label="one seed"
    )
    if never.any():
        axes.plot(
            position[never],
            np.full(never.sum(), end * 1.06),
            "^",
            ms=3.6,
            mfc="none",
            color=FREE,
            label="not collapsed by the end",
        )
    medians = [_number(p["onset_step"]["median"]) for p in summary["curve"]]
    axes.plot(scale([p["value"] for p in summary["curve"]]), medians, "_", ms=18,
              mew=1.6, color=INK, label="median, if reached")  # fmt: skip
    axes.axhline(end, color=INK, lw=0.7)
    axes.set_ylim(0, end * 1.12)
    axes.set_ylabel("onset step\n(first measured step with collapse)")
    _legend_above(axes, columns=3)
    title = f"{summary['router']}: onset in training"
    figure.suptitle(title, x=0.02, y=1.04, ha="left", fontsize=9)
    return figure


def _routing(examples: list[tuple[str, np.ndarray]]) -> Any:
    figure, panels = plt.subplots(
        1, len(examples), figsize=(3.1 * len(examples) + 0.6, 3.2), squeeze=False
    )
    for axes, (title, matrix) in zip(panels[0], examples, strict=True):
        image = axes.imshow(
            matrix, cmap="Blues", vmin=0, vmax=1, interpolation="nearest"
        )
        axes.set_title(title)
        axes.set_xlabel("source")
    panels[0][0].set_ylabel("query")
    figure.colorbar(image, ax=list(panels[0]), label="routing weight", shrink=0.8)
    return figure
