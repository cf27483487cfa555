"""Plots as plain dicts, in the words of plotly.js; the browser draws them.

A plot is ``{"data": traces, "layout": layout}``. What the page changes later stands in
each trace's ``meta``: the number of its ``entry``, and its ``role``, one of `ROLES`.
Colours that depend on light and dark are words that the page's script replaces.
"""

import base64
import html
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sweeps.report.knob_axis import KnobScale

Plot = dict[str, Any]
Trace = dict[str, Any]

ROLES = ("middle", "seed", "null")
INK, FAINT = "ink", "faint"
"""Colours that the page's script replaces by those of light or dark."""
VIRIDIS = ("#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89",
           "#35b779", "#6ece58", "#b5de2b", "#fde725")  # fmt: skip
NULL_LINES = {
    "uniform": ("dot", "uniform routing"),
    "brake_only": ("dash", "the brake alone"),
    "untrained": ("dashdot", "the untrained network"),
}
"""Line and name of the nulls."""
MOST_TICKS = 6
"""Number of marks on an axis above which some are left out."""
MOST_LABEL = 40
"""Number of characters above which a name is shortened in a plot."""


def label(text: str, most: int = MOST_LABEL) -> str:
    """A name for a plot, in which plotly would read tags and entities.

    Args:
      text: The name.
      most: Number of characters above which its middle is left out.
    """
    if len(text) > most:
        text = f"{text[: most // 2 - 1]}…{text[-(most // 2) :]}"
    return html.escape(text, quote=False)


def rounded(values: Any) -> list[float | None]:
    """Numbers with four digits, None where they are not finite."""
    return [
        float(f"{one:.4g}") if one is not None and math.isfinite(one) else None
        for one in values
    ]


def knob_trace(
    scale: KnobScale, values: Any, y: Any, entry: int, role: str, **more: Any
) -> Trace:
    """A trace over the knob, with its places on a logarithmic and on a linear axis.

    Args:
      scale: The logarithmic axis.
      values: Values of the knob ``[points]``.
      y: What is drawn ``[points]``.
      entry: Number of the sweep.
      role: One of `ROLES`.
      **more: Further keys of the trace; ``shift`` moves points to the side, in steps
        of the axis.
    """
    values = np.asarray(values, float)
    shift = np.asarray(more.pop("shift", np.zeros(len(values))))
    room = np.asarray([scale.room(one) for one in values])
    extent = float(np.ptp(scale.values)) or 1.0
    return {
        "type": "scatter",
        "x": [round(float(one), 4) for one in scale(values) + shift * room],
        "y": rounded(np.asarray(y, float)),
        "customdata": rounded(values),
        "showlegend": False,
        "meta": {
            "entry": entry,
            "role": role,
            "linear": rounded(values + shift * 0.004 * extent),
        },
        **more,
    }


def knob_plot(traces: Sequence[Trace], y: str, **axis: Any) -> Plot:
    """A plot over the knob, whose axis the page's script sets.

    Args:
      traces: From `knob_trace`.
      y: Name of the vertical axis.
      **axis: Further keys of the vertical axis.
    """
    return {
        "knob": True,
        "data": list(traces),
        "layout": {"yaxis": {"title": {"text": y}, **axis}},
    }


def knob_axis(scale: KnobScale, name: str) -> dict[str, Any]:
    """What the page's script needs to set the axis of the knob, for both of its kinds.

    Args:
      scale: The logarithmic axis, of the values of all sweeps.
      name: Name of the knob.
    """
    ticks, has_zero = scale.ticks(), bool((scale.values == 0).any())
    if len(ticks) > MOST_TICKS:  # the powers of 10 alone
        ticks = [one for one in ticks if abs(one - round(one)) < 1e-9]
    places = scale(scale.values)
    shown = [scale.zero, *ticks] if has_zero else ticks
    return {
        "name": label(name),
        "ticks": [round(one, 4) for one in shown],
        "texts": ["0"] * has_zero + [f"{10**one:.3g}" for one in ticks],
        "gap": round(scale.gap, 4) if has_zero and scale.values.any() else None,
        "range": [
            round(float(places.min() - 0.6 * scale.step), 4),
            round(float(places.max() + 0.6 * scale.step), 4),
        ],
        "most": float(scale.values.max()),
    }


def line(y: float, color: str = INK, dash: str = "solid", x: bool = False) -> Plot:
    """A straight line across a plot at one height, or at one place with ``x``."""
    along, across = ("y", "x") if x else ("x", "y")
    return {
        "type": "line",
        f"{along}ref": "paper",
        f"{along}0": 0,
        f"{along}1": 1,
        f"{across}0": y,
        f"{across}1": y,
        "line": {"color": color, "width": 1, "dash": dash},
        "layer": "below",
    }


def between(middle: Any, low: Any, high: Any, color: str) -> dict[str, Any]:
    """Error bars from low to high, around the middle; none where one is missing."""
    arrays = [np.asarray(one, float) for one in (middle, low, high)]
    middle, low, high = arrays
    return {
        "type": "data",
        "symmetric": False,
        "array": rounded(high - middle),
        "arrayminus": rounded(middle - low),
        "color": color,
        "thickness": 1.2,
        "width": 0,
    }


def shades(count: int) -> list[str]:
    """Colours from dark to light, in an order that the eye follows."""
    anchors = np.asarray(
        [[int(one[i : i + 2], 16) for i in (1, 3, 5)] for one in VIRIDIS]
    )
    places = np.linspace(0, len(VIRIDIS) - 1.6, max(count, 2))[:count]
    mixed = [
        np.interp(places, range(len(VIRIDIS)), anchors[:, channel])
        for channel in range(3)
    ]
    return [
        f"#{red:02x}{green:02x}{blue:02x}"
        for red, green, blue in np.asarray(mixed).T.round().astype(int)
    ]


def packed(frames: np.ndarray) -> dict[str, Any]:
    """Matrices ``[frames, rows, columns]`` with one byte a number, as text.

    A number is stored to within 1/254 of the largest magnitude; -128 is none.
    """
    finite = np.isfinite(frames)
    peak = float(np.abs(frames[finite]).max()) if finite.any() else 0.0
    scaled = np.where(finite, frames, 0) * (127 / peak if peak else 0)
    numbers = np.where(finite, np.round(scaled), -128).astype(np.int8)
    return {
        "shape": list(frames.shape),
        "peak": peak,
        "bytes": base64.b64encode(numbers.tobytes()).decode("ascii"),
    }


def named_cells(names: list[str], most: int) -> dict[str, Any]:
    """An axis of cells with names, of which some are shown where there are many."""
    every = range(0, len(names), 1 + (len(names) - 1) // most)
    return {
        "tickvals": list(every),
        "ticktext": [names[i] for i in every],
        "showgrid": False,
        "zeroline": False,
        "tickangle": 0,
    }
