"""Collapse over knob values and training steps, over values and layers; routing."""

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

SHADES = "OrRd"


def _shares(summary: dict[str, Any], block: str, key: str) -> np.ndarray:
    """Shares of the finished members ``[values, columns]``; NaN if none finished."""
    rows = []
    for point in summary["curve"]:
        alive = point["members"] - point["diverged"]
        counts = np.asarray(point[block][key], float)
        rows.append(counts / alive if alive else np.full_like(counts, np.nan))
    return np.asarray(rows)


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
    """Draws survival curves by value, and the share collapsed over (value, step).

    Args:
      summary: Content of ``onset.json``.
    """
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(8.6, 3.4), width_ratios=(1, 1.15), layout="constrained"
    )
    steps = np.asarray(summary["curve"][0]["training"]["step"])
    free = 1 - _shares(summary, "training", "ever")
    colors = plt.get_cmap("viridis")(np.linspace(0, 0.95, len(free)))
    for point, share, color in zip(summary["curve"], free, colors, strict=True):
        left.step(steps, share, where="post", color=color, lw=1.3,
                  label=f"{point['value']:.4g}")  # fmt: skip
    left.set_ylim(-0.03, 1.03)
    left.set_xlabel("training step")
    left.set_ylabel("share not collapsed so far")
    left.legend(
        title=summary["knob"],
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=5,
        fontsize=6.5,
        title_fontsize=7,
        columnspacing=1.0,
    )
    image = _draw(right, _shares(summary, "training", "collapsed"), summary)
    shown = np.unique(np.linspace(0, len(steps) - 1, 6).round().astype(int))
    right.set_xticks(shown, [str(step) for step in steps[shown]])
    right.set_xlabel("training step (measured)")
    right.set_ylabel(summary["knob"])
    _mark_onset(right, summary)
    figure.colorbar(image, ax=right, label="share of seeds collapsed at this step")
    figure.suptitle(
        f"{summary['router']}: collapse in training", x=0.01, ha="left", fontsize=9
    )
    return figure


def map_layers(summary: dict[str, Any]) -> Figure:
    """Draws the share collapsed, and of first collapsed layers, over (value, layer).

    Args:
      summary: Content of ``onset.json``.
    """
    figure, panels = plt.subplots(
        1, 2, figsize=(7.2, 3.2), sharey=True, layout="constrained"
    )
    titles = {"collapsed": "collapsed layers", "first": "first collapsed layer"}
    for axes, (key, title) in zip(panels, titles.items(), strict=True):
        image = _draw(axes, _shares(summary, "depth", key), summary)
        axes.set_xticks(range(summary["layers"]))
        axes.set_xlabel("layer, from the input")
        axes.set_title(title)
        _mark_onset(axes, summary)
    panels[0].set_ylabel(summary["knob"])
    figure.colorbar(image, ax=list(panels), label="share of seeds at the last step")
    figure.suptitle(
        f"{summary['router']}: collapse in depth", x=0.01, ha="left", fontsize=9
    )
    return figure


def _mark_onset(axes: Axes, summary: dict[str, Any]) -> None:
    """Marks the critical value, placed between rows as on a logarithmic axis."""
    estimate = summary["onset"]["estimate"]
    if estimate is None:
        return
    values = np.asarray([point["value"] for point in summary["curve"]])
    rows = np.flatnonzero(values > 0)
    place = np.interp(np.log(estimate), np.log(values[rows]), rows)
    axes.axhline(float(place), color=INK, lw=1.0, ls="--")


def onset_steps(
    summary: dict[str, Any], members: dict[str, Any], scale: KnobScale
) -> Figure:
    """Draws the first measured step with collapse of every seed.

    Args:
      summary: Content of ``onset.json``.
      members: From `sweeps.findings.signature_onsets.per_member`.
      scale: The axis of knob values.
    """
    figure, axes = plt.subplots(figsize=(5.2, 3.0))
    scale.dress(axes, summary["knob"])
    end = summary["steps"]
    step = members["onset_step"]
    never = np.isnan(step)
    position = jitter(members, scale)
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
    medians = [number(p["onset_step"]["median"]) for p in summary["curve"]]
    axes.plot(scale([p["value"] for p in summary["curve"]]), medians, "_", ms=18,
              mew=1.6, color=INK, label="median, if reached")  # fmt: skip
    axes.axhline(end, color=INK, lw=0.7)
    axes.set_ylim(0, end * 1.12)
    axes.set_ylabel("onset step\n(first measured step with collapse)")
    legend_above(axes, columns=3)
    title = f"{summary['router']}: onset in training"
    figure.suptitle(title, x=0.02, y=1.04, ha="left", fontsize=9)
    return figure


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
