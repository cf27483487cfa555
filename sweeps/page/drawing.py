"""The onset curves as a small SVG, for readers without scripts."""

import math
from collections.abc import Sequence

from markupsafe import Markup

from sweeps.colors import Look
from sweeps.page.reading import Entry
from sweeps.report.knob_axis import KnobScale

WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 40
DASHES = {"solid": "", "dash": "7 4", "dot": "2 3", "dashdot": "7 3 2 3",
          "longdash": "11 4", "longdashdot": "11 3 2 3"}  # fmt: skip


def drawing(
    entries: Sequence[Entry], looks: Sequence[Look], scale: KnobScale, knob: str
) -> Markup:
    """The share of collapsed members over the knob, with exact intervals, as SVG.

    Args:
      entries: Sweeps; those that are not finished are left out.
      looks: How each of them is drawn.
      scale: The axis of all values.
      knob: Name of the knob.
    """
    places = scale(scale.values)
    low, high = places.min() - 0.6 * scale.step, places.max() + 0.6 * scale.step

    def x(value: float) -> str:
        share = (float(scale(value)) - low) / (high - low)
        return f"{LEFT + share * (WIDTH - LEFT - RIGHT):.1f}"

    def y(share: float) -> str:
        return f"{TOP + (1 - share) * (HEIGHT - TOP - BOTTOM):.1f}"

    marks = [
        Markup('<line class="grid" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>').format(
            LEFT, WIDTH - RIGHT, y(share)
        )
        + _text(LEFT - 6, float(y(share)) + 4, f"{share:g}", "end")
        for share in (0, 0.5, 1)
    ]
    ticks = [10**place for place in scale.ticks()]
    ticks = [0.0, *ticks] if (scale.values == 0).any() else ticks
    marks += [
        _text(float(x(value)), HEIGHT - BOTTOM + 16, f"{value:.3g}", "middle")
        for value in ticks
    ]
    marks += [_text((WIDTH + LEFT) / 2, HEIGHT - 6, knob, "middle")]
    for entry, look in zip(entries, looks, strict=True):
        if entry.summary is None:
            continue
        path = []
        for point in entry.summary["curve"]:
            alive = point["members"] - point["diverged"]
            share = point["collapsed"] / alive if alive else math.nan
            if not math.isfinite(share):
                continue
            at, value = x(point["value"]), y(share)
            fraction = point["fraction"]
            marks.append(
                Markup('<line x1="{0}" x2="{0}" y1="{1}" y2="{2}" stroke="{3}" '
                       'stroke-opacity=".5"/><circle cx="{0}" cy="{4}" r="3.5" '
                       'fill="{3}"/>').format(
                    at, y(fraction["low"]), y(fraction["high"]), look.color, value
                )
            )  # fmt: skip
            path += [f"{at},{value}"] if point["value"] > 0 else []
        marks.append(
            Markup('<polyline points="{}" fill="none" stroke="{}" stroke-width="2" '
                   'stroke-dasharray="{}"/>').format(
                " ".join(path), look.color, DASHES[look.line]
            )
        )  # fmt: skip
    head = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
        WIDTH, HEIGHT, f"Share of collapsed members over {knob}"
    )
    return head + Markup("").join(marks) + Markup("</svg>")


def _text(x: float, y: float, text: str, anchor: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
        x, y, anchor, text
    )
