"""PNG figures of one sweep, drawn from ``onset.json`` and the results."""

import textwrap
import warnings
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, NullFormatter

from routers.signature import RANK_RATIO, STRATIFIED
from sweeps.findings.results import Results
from sweeps.findings.signature_onsets import per_member
from sweeps.report.knob_axis import (
    COLLAPSED,
    DIVERGED,
    FREE,
    INK,
    KnobScale,
    jitter,
    legend_above,
    number,
    shade_onset,
)
from sweeps.report.maps import map_layers, map_routing, map_steps, onset_steps
from sweeps.report.parts import PART_NAMES, parts_coincide
from sweeps.report.sentences import in_units, title
from sweeps.storage.files import replacing

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
    results: Results,
    examples: list[tuple[str, np.ndarray]],
    warn: Callable[[str], None] = warnings.warn,
    only: Collection[str] = (),
) -> list[Path]:
    """Draws and writes the figures, in a style that no setting of the user changes.

    Args:
      folder: Existing folder to write to.
      summary: Content of ``onset.json``.
      results: Results of the sweep, for what every member shows.
      examples: Title and routing matrix ``[T, S]`` for each side of the onset.
      warn: Called with one line about every figure that cannot be drawn.
      only: Names of the figures that are drawn; all of them, if there are none.

    Returns:
      Paths of the files that were written, in reading order.
    """
    values = np.asarray([point["value"] for point in summary["curve"]])
    scale, members = KnobScale(values), per_member(results)
    drawings = {
        "onset": lambda: _onset(summary, members, scale),
        "parts": lambda: _parts(summary, members, scale),
        "onset_step": lambda: onset_steps(summary, members, scale),
        "map_steps": lambda: map_steps(summary),
        "map_layers": lambda: map_layers(summary),
        "routing": lambda: map_routing(examples),
    }
    paths = []
    with plt.rc_context():
        plt.rcdefaults()
        plt.rcParams.update(STYLE)
        for name in only or drawings:
            path = folder / f"{name}.png"
            try:
                _write(path, drawings[name], summary["unit"])
            # Fonts, files and libraries below Matplotlib raise anything.
            except Exception as error:
                said = (str(error).strip().splitlines() or [type(error).__name__])[0]
                warn(f"{path.name} could not be drawn: {said[:160]}")
            else:
                paths.append(path)
    return paths


def _write(path: Path, draw: Callable[[], Any], unit: str) -> None:
    """Draws a figure, which speaks of its units, and writes it atomically."""
    try:
        figure = draw()
        for text in figure.findobj(Text):
            text.set_text(in_units(text.get_text(), unit))
        with replacing(path) as file:
            figure.savefig(file, format="png", bbox_inches="tight")
    finally:
        plt.close("all")


def _onset(summary: dict[str, Any], members: dict[str, Any], scale: KnobScale) -> Any:
    figure, (top, middle, bottom) = plt.subplots(
        3, 1, figsize=(5.2, 6.6), sharex=True, height_ratios=(3, 2, 1.4)
    )
    for axes in (top, middle, bottom):
        scale.dress(axes, summary["knob"] if axes is bottom else "")
        shade_onset(axes, summary["onset"], scale)
    _concentration(top, summary, members, scale)
    _fraction(middle, summary["curve"], scale)
    _loss(bottom, summary["curve"], scale)
    figure.suptitle(title(summary), x=0.02, ha="left", fontsize=9)
    figure.align_ylabels()
    return figure


def _concentration(
    axes: Axes, summary: dict[str, Any], members: dict[str, Any], scale: KnobScale
) -> None:
    """Draws the concentration of every seed, the threshold and the criterion nulls."""
    curve, criterion = summary["curve"], summary["criterion"]
    x = scale([point["value"] for point in curve])
    for null in NULL_STYLE:
        high = [point["nulls"].get(null, {}).get("high", np.nan) for point in curve]
        _draw_line(axes, x, high, null, criterion["quantile"])
    threshold = criterion["threshold"]
    axes.axhline(threshold, color=INK, lw=0.7)
    right = axes.get_xlim()[1]
    axes.text(right, threshold, f" {threshold:g}", va="center", fontsize=7.5)
    _draw_seeds(axes, members, scale, "concentration", members["collapsed"])
    name = criterion["metric"].split("/")[-1]
    if name == "hub_mass":
        axes.set_ylim(-0.02, 1.02)
    else:
        axes.set_ylim(0, None)
    axes.set_ylabel(name.replace("_", " "))
    legend_above(axes, columns=2)


def _draw_seeds(
    axes: Axes,
    members: dict[str, Any],
    scale: KnobScale,
    name: str,
    collapsed: np.ndarray,
    marker: str = "o",
    what: str = "one seed",
) -> None:
    """Draws one measure of every seed, coloured by whether it is collapsed."""
    position, lost = jitter(members, scale), members["diverged"]
    for label, chosen, color, shape in (
        ("collapsed", collapsed, COLLAPSED, marker),
        ("not collapsed", ~collapsed & ~lost, FREE, marker),
        ("diverged", lost, DIVERGED, "x"),
    ):
        if chosen.any():
            axes.plot(
                position[chosen],
                members[name][chosen],
                shape,
                ms=3.6,
                mew=0.9,
                color=color,
                label=f"{what}, {label}",
            )


def _parts(summary: dict[str, Any], members: dict[str, Any], scale: KnobScale) -> Any:
    """Draws the three parts of the signature, each with its own onset and nulls."""
    figure, panels = plt.subplots(3, 1, figsize=(5.2, 8.2), sharex=True)
    drawn = {
        "concentration": lambda axes: _concentration(axes, summary, members, scale),
        "rank_ratio": lambda axes: _rank_ratio(axes, summary, members, scale),
        "stratification": lambda axes: _hub_norms(axes, summary, members, scale),
    }
    for axes, (name, draw) in zip(panels, drawn.items(), strict=True):
        scale.dress(axes, summary["knob"] if axes is panels[-1] else "")
        if name in summary["parts"]:
            shade_onset(axes, summary["parts"][name]["onset"], scale)
            draw(axes)
        else:
            axes.set_ylabel(PART_NAMES[name])
            axes.text(0.5, 0.5, "not defined", transform=axes.transAxes, ha="center")
    said = textwrap.fill(parts_coincide(summary), 78)
    figure.suptitle(f"{summary['router']}. {said}", x=0.02, ha="left", fontsize=8)
    figure.align_ylabels()
    figure.tight_layout(rect=(0, 0, 1, 0.99))
    return figure


def _draw_null(
    axes: Axes,
    summary: dict[str, Any],
    scale: KnobScale,
    name: str,
    null: str,
    side: str,
    change: Callable[[Any], Any] = np.asarray,
) -> None:
    """Draws one null's quantile of one measure against the knob."""
    curve, level = summary["curve"], summary["criterion"]["quantile"]
    found = [
        number(point.get(name, {}).get("nulls", {}).get(null, {}).get(side))
        for point in curve
    ]
    level = level if side == "high" else 1 - level
    x = scale([point["value"] for point in curve])
    _draw_line(axes, x, change(np.asarray(found)), null, level)


def _draw_line(axes: Axes, x: Any, y: Any, null: str, level: float) -> None:
    """Draws a quantile of a null; at a single value across the width of the seeds."""
    color, line, label = NULL_STYLE[null]
    if len(x) == 1:
        x, y = x + np.asarray([-0.3, 0.3]), np.repeat(y, 2)
    label = f"{label}, {level:.3g} quantile"
    axes.plot(x, y, line, color=color, lw=1.1, label=label)


def _rank_ratio(
    axes: Axes, summary: dict[str, Any], members: dict[str, Any], scale: KnobScale
) -> None:
    for null in NULL_STYLE:
        _draw_null(axes, summary, scale, "rank_ratio", null, "low")
    axes.axhline(RANK_RATIO, color=INK, lw=0.7)
    axes.text(axes.get_xlim()[1], RANK_RATIO, f" {RANK_RATIO:g}", va="center")
    _draw_seeds(axes, members, scale, "rank_ratio", members["low_rank"])
    axes.set_ylabel("rank ratio")
    axes.set_ylim(0, None)
    legend_above(axes, columns=2)


def _hub_norms(
    axes: Axes, summary: dict[str, Any], members: dict[str, Any], scale: KnobScale
) -> None:
    """Draws norms of the hub's key and value relative to the median."""
    axes.set_yscale("log")
    for one, marker in (("key", "o"), ("value", "v")):
        name = f"hub_{one}_log_ratio"
        if name not in members:
            continue
        side = "high" if one == "key" else "low"
        _draw_null(axes, summary, scale, name, "untrained", side, np.exp)
        shown = members | {name: np.exp(members[name])}
        flagged = members["stratified"]
        _draw_seeds(axes, shown, scale, name, flagged, marker, f"hub's {one}")
    for threshold in (STRATIFIED, 1 / STRATIFIED):
        axes.axhline(threshold, color=INK, lw=0.7)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.3g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel("norm of the hub / median")
    legend_above(axes, columns=2)


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
        [number(point["loss"][key]) for point in curve]
        for key in ("low", "median", "high")
    )
    axes.vlines(x, low, high, color=FREE, lw=1, alpha=0.55)
    axes.plot(x, median, "o", ms=3.5, color=FREE)
    axes.set_ylabel("held-out loss\n(nats, quartiles)")
    if np.isnan(median).all():
        axes.text(0.5, 0.5, "not defined", transform=axes.transAxes, ha="center")
