"""The critical values of all parts of all sweeps, one below the other."""

from typing import Any

from sweeps.colors import Look
from sweeps.page.plots import INK, Plot, Trace, knob_plot, knob_trace, label
from sweeps.page.reading import Entry
from sweeps.page.tables import place_of
from sweeps.report.knob_axis import KnobScale
from sweeps.report.parts import PART_NAMES

Drawn = list[tuple[int, Entry, Look]]
"""Finished sweeps with their numbers and looks."""


def hover(entry: Entry, what: str) -> str:
    """What is shown where the pointer is on a point of a sweep."""
    name = label(entry.name).replace("%", "&#37;")
    return f"<b>{name}</b><br>%{{customdata}}: {what}<extra></extra>"


def forest(drawn: Drawn, scale: KnobScale) -> Plot:
    """The critical value of every part of every sweep with its interval, one a row."""
    traces: list[Trace] = []
    places, names = [], []
    above = scale.values[scale.values > 0]
    first, last = (above[0], above[-1]) if len(above) else (1.0, 1.0)
    notes: list[dict[str, Any]] = []
    row = 0.0
    for i, entry, look in drawn:
        assert entry.summary is not None
        if len(drawn) > 1:
            row -= 1.1
            notes.append(_head(entry, row))
        for part, name in PART_NAMES.items():
            found = entry.summary["parts"].get(part)
            row -= 1
            places.append(row)
            names.append(name)
            traces += _critical(i, entry, look, scale, found, row, (first, last))
    plot = knob_plot(
        traces, "", tickvals=places, ticktext=names, range=[row - 0.7, -0.4],
        showgrid=False, zeroline=False,
    )  # fmt: skip
    plot["layout"]["yaxis"].pop("title")
    height = 80 + 24 * len(places) + 26 * len(notes)
    # The taller a plot is, the further plotly sets the title below its axis.
    margin = {"l": 52, "r": 14, "t": 10, "b": 44 + height // 25}
    plot["layout"] |= {"height": height, "margin": margin, "annotations": notes}
    return plot


def _head(entry: Entry, row: float) -> dict[str, Any]:
    """The name of a sweep above its rows."""
    return {
        "text": f"<b>{label(entry.name)}</b>",
        "showarrow": False,
        "xref": "paper",
        "x": 0,
        "xanchor": "left",
        "y": row,
        "yref": "y",
    }


def _critical(
    i: int,
    entry: Entry,
    look: Look,
    scale: KnobScale,
    found: dict[str, Any] | None,
    row: float,
    ends: tuple[float, float],
) -> list[Trace]:
    """One onset; an open end of its interval is an arrow at the end of the axis."""
    onset = found["onset"] if found else None
    if onset is None or onset["estimate"] is None:
        word = "not defined" if onset is None else place_of(onset)
        return [
            knob_trace(
                scale, [ends[0]], [row], i, "middle", mode="text", text=[word],
                textposition="middle right", hoverinfo="skip",
                textfont={"color": INK, "size": 11},
            )
        ]  # fmt: skip
    low = ends[0] if onset["low"] is None else onset["low"]
    high = ends[1] if onset["high"] is None else onset["high"]
    open_left, open_right = onset["low"] is None, onset["high"] is None
    symbols = [
        "triangle-left" if open_left else "line-ns-open",
        look.marker,
        "triangle-right" if open_right else "line-ns-open",
    ]
    shown = [f"{onset['estimate']:.3g}"] * 3
    return [
        knob_trace(
            scale, [low, onset["estimate"], high], [row] * 3, i, "middle",
            mode="lines+markers", text=shown,
            line={"color": look.color, "width": 2.5},
            marker={"color": look.color, "symbol": symbols, "size": [9, 10, 9]},
            hovertemplate=hover(entry, "critical value %{text}"),
        )
    ]  # fmt: skip
