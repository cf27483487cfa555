"""Figures of one sweep as PNG and PDF, with captions.

They are drawn from ``onset.json`` and the results.
"""

import textwrap
import warnings
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.text import Text

from sweeps.findings.results import Results
from sweeps.findings.signature_onsets import per_member
from sweeps.report.knob_axis import INK, KnobScale, shade_onset
from sweeps.report.maps import map_layers, map_routing, map_steps, onset_steps
from sweeps.report.panels import (
    draw_concentration,
    draw_fraction,
    draw_hub_norms,
    draw_loss,
    draw_rank_ratio,
)
from sweeps.report.parts import PART_NAMES, parts_coincide
from sweeps.report.sentences import in_units, title
from sweeps.storage.files import replacing

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
    "pdf.fonttype": 42,  # embeds fonts as outlines that a journal accepts
}


BAND = "The shaded band is the 95 % interval of the critical value."
SHOWN = {
    "onset": "Top: {measure} of every seed. Middle: share of the seeds that collapsed, "
    "with its exact 95 % interval. Bottom: held-out loss, median and quartiles over "
    f"seeds. {BAND}",
    "parts": "The three parts of the signature of every seed: {measure}; rank ratio, "
    "the effective rank of what was mixed relative to row-permuted routing; norm of "
    "the hub's key and value relative to the median source. Each part has its own "
    "onset. " + BAND,
    "onset_step": "First measured training step at which every seed shows each part of "
    "the signature.",
    "map_steps": "Top: share of the seeds that have not shown each part of the "
    "signature so far. Bottom: share of the seeds that show it at each measured step.",
    "map_layers": "Share of the seeds that show each part of the signature at the last "
    "step, by layer; below, by the first layer that shows it.",
    "routing": "Routing weights of one seed on one sequence, on each side of the "
    "onset: rows are queries, columns are sources.",
}
"""What is seen in each figure."""


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
      Paths of the PNG files that were written, in reading order. Beside each lie the
      same figure as PDF and its caption as text.
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
                _write(path, drawings[name], summary)
            # Fonts, files and libraries below Matplotlib raise anything.
            except Exception as error:
                said = (str(error).strip().splitlines() or [type(error).__name__])[0]
                warn(f"{path.name} could not be drawn: {said[:160]}")
            else:
                paths.append(path)
    return paths


def _write(path: Path, draw: Callable[[], Any], summary: dict[str, Any]) -> None:
    """Draws a figure, which speaks of its units, and writes it atomically."""
    try:
        figure = draw()
        for text in figure.findobj(Text):
            text.set_text(in_units(text.get_text(), summary["unit"]))
        for one in (path, path.with_suffix(".pdf")):
            with replacing(one) as file:
                # Without a date, the same sweep draws the same bytes.
                dated = {"CreationDate": None} if one.suffix == ".pdf" else None
                figure.savefig(
                    file, format=one.suffix[1:], bbox_inches="tight", metadata=dated
                )
        with replacing(path.with_suffix(".txt")) as file:
            file.write(f"{caption(path.stem, summary)}\n".encode())
    finally:
        plt.close("all")


def _onset(summary: dict[str, Any], members: dict[str, Any], scale: KnobScale) -> Any:
    figure, (top, middle, bottom) = plt.subplots(
        3, 1, figsize=(5.2, 6.6), sharex=True, height_ratios=(3, 2, 1.4)
    )
    for axes in (top, middle, bottom):
        scale.dress(axes, summary["knob"] if axes is bottom else "")
        shade_onset(axes, summary["onset"], scale)
    draw_concentration(top, summary, members, scale)
    draw_fraction(middle, summary["curve"], scale)
    draw_loss(bottom, summary["curve"], scale)
    figure.suptitle(title(summary), x=0.02, ha="left", fontsize=9)
    figure.align_ylabels()
    return figure


def _parts(summary: dict[str, Any], members: dict[str, Any], scale: KnobScale) -> Any:
    """Draws the three parts of the signature, each with its own onset and nulls."""
    figure, panels = plt.subplots(3, 1, figsize=(5.2, 8.2), sharex=True)
    drawn = {
        "concentration": lambda axes: draw_concentration(axes, summary, members, scale),
        "rank_ratio": lambda axes: draw_rank_ratio(axes, summary, members, scale),
        "stratification": lambda axes: draw_hub_norms(axes, summary, members, scale),
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


def caption(name: str, summary: dict[str, Any]) -> str:
    """The caption of a figure.

    Args:
      name: Name of the figure.
      summary: Content of ``onset.json``.
    """
    criterion, curve = summary["criterion"], summary["curve"]
    measure = criterion["metric"].split("/")[-1].replace("_", " ")
    most = max(point["members"] for point in curve)
    lost = sum(point["diverged"] for point in curve)
    nulls = ", ".join(name.replace("_", " ") for name in curve[0]["nulls"])
    values = (
        f"{len(curve)} values of {summary['knob']}"
        if len(curve) > 1
        else (f"{summary['knob']} = {curve[0]['value']:g}")
    )
    said = [
        f"{title(summary)}.",
        SHOWN[name].format(measure=measure),
        f"{values}, up to {most} seeds each, {lost} diverged.",
        f"A seed is collapsed when its {measure} exceeds {criterion['threshold']:g} "
        f"and also, by {criterion['margin']:g}, the {criterion['quantile']:g} quantile "
        f"of every null ({nulls}) over sequences and seeds.",
    ]
    return in_units(" ".join(said), summary["unit"])
