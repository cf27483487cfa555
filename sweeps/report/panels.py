"""The panels of which the figures over the knob consist."""

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from routers.signature import RANK_RATIO, STRATIFIED
from sweeps.report.knob_axis import (
    COLLAPSED,
    DIVERGED,
    FREE,
    INK,
    KnobScale,
    jitter,
    legend_above,
    number,
)

NULL_STYLE = {
    "uniform": ("#7a7a7a", ":", "null: uniform"),
    "brake_only": ("#3f8f5b", "--", "null: brake only"),
    "untrained": ("#b58900", "-.", "null: untrained"),
}
"""Colour, line and label of the nulls of the criterion."""


def draw_concentration(
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


def draw_rank_ratio(
    axes: Axes, summary: dict[str, Any], members: dict[str, Any], scale: KnobScale
) -> None:
    """Draws the rank ratio of every seed, the threshold and the nulls."""
    for null in NULL_STYLE:
        _draw_null(axes, summary, scale, "rank_ratio", null, "low")
    axes.axhline(RANK_RATIO, color=INK, lw=0.7)
    axes.text(axes.get_xlim()[1], RANK_RATIO, f" {RANK_RATIO:g}", va="center")
    _draw_seeds(axes, members, scale, "rank_ratio", members["low_rank"])
    axes.set_ylabel("rank ratio")
    axes.set_ylim(0, None)
    legend_above(axes, columns=2)


def draw_hub_norms(
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


def draw_fraction(axes: Axes, curve: list[dict[str, Any]], scale: KnobScale) -> None:
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


def draw_loss(axes: Axes, curve: list[dict[str, Any]], scale: KnobScale) -> None:
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
