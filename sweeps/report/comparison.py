"""Several sweeps as one Markdown table and one figure."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from sweeps.colors import LINES, MARKERS, Look, looks
from sweeps.findings.comparison import (
    Record,
    caveats,
    differing,
    fit_power_law,
    scale_of,
    verdict,
)
from sweeps.report.figures import STYLE
from sweeps.report.knob_axis import KnobScale
from sweeps.report.parts import PART_NAMES, format_interval, format_onset

LINE_STYLES: dict[str, Any] = dict(
    zip(LINES, ("-", "--", ":", "-.", "--", "-."), strict=True)
)
POINTS = dict(zip(MARKERS, ("o", "s", "D", "^", "P", "*"), strict=True))
"""Matplotlib's words for lines and markers; long dashes are dashes."""
OTHER_PARTS = [part for part in PART_NAMES if part != "concentration"]


def render(records: Sequence[Record], over: str | None, flags: str) -> str:
    """Renders the comparison as Markdown.

    Args:
      records: At least two finished sweeps of one knob.
      over: Setting by which critical values are multiplied, or None.
      flags: Flags of the command, as given on the command line.
    """
    knob = records[0].summary["knob"]
    differ = differing(records)
    heads = ["sweep", *differ, "collapsed", f"critical {knob}"]
    heads += [f"× {over}"] if over else []
    heads += [PART_NAMES[part] for part in OTHER_PARTS]
    heads += ["compared with the first", "post hoc", "held-out loss"]
    lines = [_row(heads), _row(["---"] * len(heads))]
    for record in records:
        cells = [record.name, *(_shown(record.settings.get(key)) for key in differ)]
        cells += [_collapsed(record), format_onset(record.summary["onset"])]
        cells += [_scaled(record, over)] if over else []
        cells += [_of_part(record, part) for part in OTHER_PARTS]
        compared = record is not records[0] and record.values.any()
        compared = compared and records[0].values.any()
        same = verdict(records[0], record) if compared else "–"
        cells += [same, _post_hoc(record), _loss(record)]
        lines.append(_row(cells))
    units = {r.summary["onset"]["units"] for r in records if r.values.any()}
    seeds = f" over {' or '.join(map(str, sorted(units)))} seeds" if units else ""
    notes = [
        f"Critical values are given with 95 % intervals{seeds}. "
        "*collapsed*: number of collapsed members at the smallest and at the largest "
        "value. *rank ratio*, *stratification*: critical values of the other two parts "
        "of the signature. *post hoc*: critical value of networks trained at the "
        "knob's neutral value and only evaluated at the others, and whether it "
        "coincides with the sweep's own. *held-out loss*: smallest and largest median "
        "over seeds along the axis, in nats.",
        *caveats(records),
        *_law(records, over),
    ]
    names = shlex.join(record.name for record in records)
    return "\n".join(
        [f"    onset compare {names}{flags}", "", *lines, "", "\n\n".join(notes), ""]
    )


def _law(records: Sequence[Record], over: str | None) -> list[str]:
    if not over:
        return []
    scales = [scale_of(record, over) for record in records]
    law = fit_power_law(scales, [record.onset for record in records])
    if law is None:
        return [
            "Fitting a power law needs at least three sweeps with closed intervals."
        ]
    return [
        f"Over {law.sweeps} sweeps with closed intervals, the critical value is "
        f"proportional to {over} to the power {law.exponent:.2f} (95 % {law.low:.2f} "
        f"to {law.high:.2f}; chi-square test of the residuals: p = {law.p_value:.2g}). "
        "The error of each critical value is taken from its interval, as normal in the "
        "logarithm."
    ]


def _row(cells: Sequence[str]) -> str:
    """A row of a Markdown table, in which a bar would start another column."""
    escaped = [cell.replace("|", r"\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _collapsed(record: Record) -> str:
    curve = record.summary["curve"]
    ends = [curve[0], curve[-1]][: len(curve)]
    counts = [f"{end['collapsed']}/{end['members'] - end['diverged']}" for end in ends]
    return " … ".join(counts)


def _scaled(record: Record, over: str) -> str:
    onset, scale = record.summary["onset"], scale_of(record, over)
    if onset["estimate"] is None:
        return "–"
    low, high = (onset[end] and onset[end] * scale for end in ("low", "high"))
    return f"{onset['estimate'] * scale:.3g} {format_interval(low, high)}"


def _of_part(record: Record, part: str) -> str:
    found = record.summary["parts"].get(part)
    return "not defined" if found is None else format_onset(found["onset"])


def _post_hoc(record: Record) -> str:
    found = record.summary["post_hoc"]
    if found is None:
        return "–"
    return f"{format_onset(found['onset'])}, {found['against_trained']}"


def _loss(record: Record) -> str:
    losses = [point["loss"]["median"] for point in record.summary["curve"]]
    finite = [loss for loss in losses if loss is not None]
    return f"{min(finite):.3f}–{max(finite):.3f}" if finite else "–"


def draw(records: Sequence[Record], path: Path) -> None:
    """Draws the collapse fractions of all sweeps over the knob, with 95 % intervals.

    Args:
      records: At least two finished sweeps of one knob.
      path: File for the figure, whose ending says its format.
    """
    every = sorted({float(value) for record in records for value in record.values})
    scale = KnobScale(np.asarray(every))
    routers = [record.summary["router"] for record in records]
    every_look = looks(routers)
    if len(set(routers)) == 1:  # what differs is a setting, as a length, in its order
        shades = plt.get_cmap("viridis")(np.linspace(0, 0.85, len(records)))
        every_look = [Look(to_hex(one), "solid", "circle") for one in shades]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(5.6, 3.2))
        scale.dress(axes, records[0].summary["knob"])
        for record, look in zip(records, every_look, strict=True):
            _curve(axes, record, scale, look)
        axes.set_ylabel("fraction collapsed")
        axes.set_ylim(-0.03, 1.03)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        figure.savefig(path, bbox_inches="tight")
        plt.close(figure)


def _curve(axes: Axes, record: Record, scale: KnobScale, look: Look) -> None:
    """Draws the points of one sweep, joined by lines except at the value 0."""
    curve = record.summary["curve"]
    x = scale([point["value"] for point in curve])
    alive = np.asarray([point["members"] - point["diverged"] for point in curve])
    collapsed = np.asarray([point["collapsed"] for point in curve])
    fraction = np.where(alive > 0, collapsed / np.maximum(alive, 1), np.nan)
    low = [point["fraction"]["low"] for point in curve]
    high = [point["fraction"]["high"] for point in curve]
    joined = slice(int(curve[0]["value"] == 0), None)
    color, line, marker = look.color, LINE_STYLES[look.line], POINTS[look.marker]
    axes.plot(x, fraction, marker, color=color, ms=3)
    name = record.name.replace("$", r"\$")  # which would start a formula
    # Matplotlib leaves names with a leading underscore out of the legend.
    name = f" {name}" if name.startswith("_") else name
    axes.plot(x[joined], fraction[joined], line, color=color, lw=1.2)
    axes.plot([], [], line, marker=marker, color=color, ms=3, lw=1.2, label=name)
    axes.fill_between(
        x[joined], low[joined], high[joined], color=color, alpha=0.12, lw=0
    )
