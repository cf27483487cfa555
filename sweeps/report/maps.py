"""The parts over knob values and training steps, over values and layers; routing."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sweeps.report.knob_axis import (
    COLLAPSED,
    FREE,
    INK,
    KnobScale,
    jitter,
    legend_above,
    number,
)
from sweeps.report.parts import PART_NAMES, shares_of

SHADES = "OrRd"


def _why_not(summary: dict[str, Any], part: str, block: str) -> str | None:
    """Why a part cannot be drawn over steps or layers, or None."""
    courses = summary["curve"][0]["parts"]
    if part not in courses:
        return "not defined"
    return None if courses[part][block] else "one number for\nall layers"


def _draw(axes: Axes, shares: np.ndarray, summary: dict[str, Any]) -> Any:
    """Draws one row of cells per value, smallest at the bottom; NaN stays white."""
    image = axes.imshow(
        shares,
        cmap=SHADES,
        vmin=0,
        vmax=1,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
    )
    names = [f"{point['value']:.4g}" for point in summary["curve"]]
    axes.set_yticks(range(len(names)), names)
    axes.spines[:].set_visible(False)
    return image


def map_steps(summary: dict[str, Any]) -> Figure:
    """Draws survival curves by value, and the shares over (value, step), of each part.

    Args:
      summary: Content of ``onset.json``.
    """
    figure, panels = _grid(summary, "training", "collapse in training", height=2.7)
    values = [point["value"] for point in summary["curve"]]
    colors = plt.get_cmap("viridis")(np.linspace(0, 0.95, len(values)))
    image: Any = None
    for (top, bottom), part in zip(panels.T, PART_NAMES, strict=True):
        if _why_not(summary, part, "training"):
            continue
        steps = np.asarray(summary["curve"][0]["parts"][part]["training"]["step"])
        free = 1 - shares_of(summary, part, "training", "ever")
        for value, share, color in zip(values, free, colors, strict=True):
            top.step(steps, share, where="post", color=color, lw=1.3,
                     label=f"{value:.4g}")  # fmt: skip
        top.set_ylim(-0.03, 1.03)
        top.set_xlabel("training step")
        image = _draw(
            bottom, shares_of(summary, part, "training", "collapsed"), summary
        )
        shown = np.unique(np.linspace(0, len(steps) - 1, 5).round().astype(int))
        bottom.set_xticks(shown, [str(step) for step in steps[shown]])
        bottom.set_xlabel("training step (measured)")
        _mark_onset(bottom, summary, part)
    panels[0, 0].set_ylabel("share of seeds\nwithout it so far")
    panels[1, 0].set_ylabel(summary["knob"])
    panels[0, -1].legend(
        *panels[0, 0].get_legend_handles_labels(),
        title=summary["knob"],
        loc="center left",
        bbox_to_anchor=(1.02, 0.5),
        ncols=1 + len(values) // 16,
        fontsize=6.5,
        title_fontsize=7,
    )
    figure.colorbar(image, ax=list(panels[1]), label="share of seeds at this step")
    return figure


def map_layers(summary: dict[str, Any]) -> Figure:
    """Draws where each part is, and is first, over (value, layer).

    Args:
      summary: Content of ``onset.json``.
    """
    figure, panels = _grid(summary, "depth", "collapse in depth", height=2.4)
    titles = {"collapsed": "layer", "first": "first layer"}
    image: Any = None
    for row, (key, title) in zip(panels, titles.items(), strict=True):
        for axes, part in zip(row, PART_NAMES, strict=True):
            if _why_not(summary, part, "depth"):
                continue
            image = _draw(axes, shares_of(summary, part, "depth", key), summary)
            axes.set_xticks(range(summary["layers"]))
            axes.set_xlabel(f"{title}, from the input")
            _mark_onset(axes, summary, part)
        row[0].set_ylabel(summary["knob"])
    figure.colorbar(
        image, ax=list(panels.flat), label="share of seeds at the last step"
    )
    return figure


def _grid(
    summary: dict[str, Any], block: str, title: str, height: float
) -> tuple[Figure, np.ndarray]:
    """Two rows of panels with one column for each part of the signature."""
    figure, panels = plt.subplots(
        2, len(PART_NAMES), figsize=(9.6, 2 * height), sharey="row",
        layout="constrained", squeeze=False,
    )  # fmt: skip
    figure.suptitle(f"{summary['router']}: {title}", x=0.01, ha="left", fontsize=9)
    for column, (part, name) in zip(panels.T, PART_NAMES.items(), strict=True):
        column[0].set_title(name)
        if why := _why_not(summary, part, block):
            for axes in column:
                axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center")
                axes.set_xticks([])
    return figure, panels


def _mark_onset(axes: Axes, summary: dict[str, Any], part: str) -> None:
    """Marks a part's critical value, placed between rows as on a logarithmic axis."""
    estimate = summary["parts"][part]["onset"]["estimate"]
    if estimate is None:
        return
    values = np.asarray([point["value"] for point in summary["curve"]])
    rows = np.flatnonzero(values > 0)
    place = np.interp(np.log(estimate), np.log(values[rows]), rows)
    axes.axhline(float(place), color=INK, lw=1.0, ls="--")


def onset_steps(
    summary: dict[str, Any], members: dict[str, Any], scale: KnobScale
) -> Figure:
    """Draws the first measured step at which every seed shows each part.

    Args:
      summary: Content of ``onset.json``.
      members: From `sweeps.findings.signature_onsets.per_member`.
      scale: The axis of knob values.
    """
    parts = [part for part in PART_NAMES if part in summary["curve"][0]["parts"]]
    figure, panels = plt.subplots(
        len(parts), 1, figsize=(5.2, 1 + 1.8 * len(parts)), sharex=True,
        layout="constrained", squeeze=False,
    )  # fmt: skip
    for axes, part in zip(panels[:, 0], parts, strict=True):
        scale.dress(axes, summary["knob"] if part == parts[-1] else "")
        _first_steps(axes, summary, members, scale, part)
    legend_above(panels[0, 0], columns=3)
    title = f"{summary['router']}: onset in training, the first measured step"
    figure.suptitle(title, x=0.02, ha="left", fontsize=9)
    return figure


def _first_steps(
    axes: Axes,
    summary: dict[str, Any],
    members: dict[str, Any],
    scale: KnobScale,
    part: str,
) -> None:
    """Draws one part's onset steps; seeds that never show it are above the last one.

    Seeds that diverged are left out.
    """
    end, alive = summary["steps"], ~members["diverged"]
    step = members[f"{part}/onset_step"][alive]
    never = np.isnan(step)
    position = jitter(members, scale)[alive]
    axes.plot(
        position[~never], step[~never], "o", ms=3.6, color=COLLAPSED, label="one seed"
    )
    axes.plot(
        position[never],
        np.full(never.sum(), end * 1.08),
        "^",
        ms=3.6,
        mfc="none",
        color=FREE,
        label="not by the end",
    )
    medians = [
        number(point["parts"][part]["onset_step"]["median"])
        for point in summary["curve"]
    ]
    axes.plot(scale([p["value"] for p in summary["curve"]]), medians, "_", ms=18,
              mew=1.6, color=INK, label="median, if reached")  # fmt: skip
    axes.axhline(end, color=INK, lw=0.7)
    axes.set_ylim(0, end * 1.16)
    axes.set_ylabel(f"onset step,\n{PART_NAMES[part]}")


def map_routing(examples: list[tuple[str, np.ndarray]]) -> Figure:
    """Draws routing matrices ``[T, S]`` with their titles, side by side."""
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
