"""Onset curves of the three parts of the signature, of all sweeps in one picture."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from routers.signature import COLLAPSE, HUB_KEY, RANK_RATIO, STRATIFIED, VALUE_DRAIN
from sweeps.colors import Look
from sweeps.inference.onset import fraction_interval
from sweeps.inference.parts import CONCENTRATION, FLAGS, RANK, STRATIFICATION
from sweeps.page.forest import Drawn, forest, hover
from sweeps.page.plots import (
    FAINT,
    NULL_LINES,
    Plot,
    Trace,
    between,
    knob_plot,
    knob_trace,
    label,
    line,
)
from sweeps.page.reading import Entry
from sweeps.report.knob_axis import KnobScale, number
from sweeps.report.parts import PART_NAMES

NORM_TICKS = [*(10.0 ** np.arange(-3, 4)), *(2 * 10.0 ** np.arange(-3, 4))]
NORM_TICKS = sorted([*NORM_TICKS, *(5 * 10.0 ** np.arange(-3, 4))])
NORMS = {
    "hub_key_log_ratio": (HUB_KEY, "key", "high"),
    "hub_value_log_ratio": (VALUE_DRAIN, "value", "low"),
}
"""Measure, name and side of the null of each norm, by its key in a curve."""


def curves(
    entries: Sequence[Entry], looks: Sequence[Look], scale: KnobScale
) -> dict[str, tuple[str, Plot]]:
    """Title and plot of every panel, in reading order.

    Args:
      entries: Finished sweeps of knobs of one name.
      looks: How each of them is drawn.
      scale: The axis, of the values of all of them.
    """
    found: dict[str, tuple[str, Plot]] = {}
    drawn = [
        (i, entry, look)
        for i, (entry, look) in enumerate(zip(entries, looks, strict=True))
        if entry.summary is not None
    ]
    found["onsets"] = "Where each part sets in", forest(drawn, scale)
    for part, name in PART_NAMES.items():
        defined = [
            one for one in drawn if (own := one[1].summary) and part in own["parts"]
        ]
        if not defined:
            continue
        found[part] = (
            f"{name.capitalize()}: share that shows it",
            knob_plot(
                [trace for one in defined for trace in _shares(*one, scale, part)],
                "share (exact 95 %)",
                range=[-0.04, 1.04],
            ),
        )
        found[part][1]["layout"]["shapes"] = [line(0.5, FAINT)]
        found |= _measures(defined, scale, part)
    found["loss"] = (
        "Held-out loss",
        knob_plot(
            [
                trace
                for i, entry, look in drawn
                for trace in _middle(i, entry, look, scale, "loss")
            ],
            "nats (quartiles)",
        ),
    )
    return found


def _curve(entry: Entry) -> list[dict[str, Any]]:
    assert entry.summary is not None
    curve: list[dict[str, Any]] = entry.summary["curve"]
    return curve


def _joined(
    scale: KnobScale, values: Any, y: Any, entry: int, look: Look, **more: Any
) -> list[Trace]:
    """Points, and a line that leaves out 0, which has no place on a log axis."""
    values, y = np.asarray(values), np.asarray(y)
    above = values > 0
    points = knob_trace(
        scale, values, y, entry, "middle", mode="markers",
        marker={"color": look.color, "symbol": look.marker, "size": 7}, **more,
    )  # fmt: skip
    path = knob_trace(
        scale, values[above], y[above], entry, "middle", mode="lines",
        line={"color": look.color, "dash": look.line, "width": 2}, hoverinfo="skip",
    )  # fmt: skip
    return [path, points]


def _shares(
    i: int, entry: Entry, look: Look, scale: KnobScale, part: str
) -> list[Trace]:
    """The share of members that show a part, with its exact interval."""
    curve = _curve(entry)
    assert entry.summary is not None
    alive = [point["members"] - point["diverged"] for point in curve]
    counts = entry.summary["parts"][part]["collapsed"]
    known = [fraction_interval(c, a) if a else (np.nan, np.nan)
             for c, a in zip(counts, alive, strict=True)]  # fmt: skip
    low, high = np.asarray(known).T
    share = [c / a if a else np.nan for c, a in zip(counts, alive, strict=True)]
    return _joined(
        scale,
        [point["value"] for point in curve],
        share,
        i,
        look,
        error_y=between(share, low, high, look.color),
        text=[f"{c} of {a}" for c, a in zip(counts, alive, strict=True)],
        hovertemplate=hover(entry, "%{text}"),
    )


def _measures(drawn: Drawn, scale: KnobScale, part: str) -> dict[str, tuple[str, Plot]]:
    """What the share of one part rests on: every seed, thresholds and nulls."""
    if part == CONCENTRATION:
        return _concentration(drawn, scale)
    if part == RANK:
        traces = [
            trace
            for i, entry, look in drawn
            for trace in (
                *_nulls(i, entry, look, scale, "rank_ratio", "low"),
                *_seeds(i, entry, look, scale, COLLAPSE, RANK),
                *_middle(i, entry, look, scale, "rank_ratio"),
            )
        ]
        plot = knob_plot(traces, "rank ratio", rangemode="tozero")
        plot["layout"]["shapes"] = [line(RANK_RATIO)]
        return {"rank_ratio_measure": ("Rank ratio: every seed", plot)}
    traces = []
    for i, entry, look in drawn:
        for key, (metric, name, side) in NORMS.items():
            marker = "" if name == "key" else "-open"
            traces += _nulls(i, entry, look, scale, key, side, np.exp, ["untrained"])
            traces += _seeds(
                i, entry, look, scale, metric, STRATIFICATION, np.exp, marker
            )
            traces += _middle(i, entry, look, scale, key, np.exp, f"hub's {name}")
    plot = knob_plot(
        traces,
        "norm of the hub / median",
        type="log",
        tickvals=NORM_TICKS,
        ticktext=[f"{one:g}" for one in NORM_TICKS],
    )
    plot["layout"]["shapes"] = [line(STRATIFIED), line(1 / STRATIFIED)]
    title = "Stratification: the hub's key (filled) and value (open)"
    return {"stratification_measure": (title, plot)}


def _concentration(drawn: Drawn, scale: KnobScale) -> dict[str, tuple[str, Plot]]:
    """One panel for each measure of concentration, since they have other units."""
    found: dict[str, tuple[str, Plot]] = {}
    metrics = dict.fromkeys(
        entry.summary["criterion"]["metric"] for _, entry, _ in drawn if entry.summary
    )
    for metric in metrics:
        traces, thresholds = [], set()
        for i, entry, look in drawn:
            assert entry.summary is not None
            if entry.summary["criterion"]["metric"] != metric:
                continue
            thresholds.add(float(entry.summary["criterion"]["threshold"]))
            traces += _nulls(i, entry, look, scale, "", "high")
            traces += _seeds(i, entry, look, scale, metric, CONCENTRATION)
            traces += _middle(i, entry, look, scale, "concentration")
        name = str(metric).split("/")[-1].replace("_", " ")
        plot = knob_plot(traces, label(name), rangemode="tozero")
        plot["layout"]["shapes"] = [line(one) for one in sorted(thresholds)]
        key = "concentration_measure" + f"_{len(found)}" * bool(found)
        title = f"Concentration: every seed ({name})"
        found[key] = title, plot
    return found


def _seeds(
    i: int,
    entry: Entry,
    look: Look,
    scale: KnobScale,
    metric: str,
    part: str,
    change: Any = np.asarray,
    shape: str = "",
) -> list[Trace]:
    """Every seed that did not diverge, side by side at its value."""
    seeds = entry.seeds
    flag = f"outcome/{FLAGS[part]}"
    if metric not in seeds or flag not in seeds:
        return []
    alive = ~(seeds.get("outcome/diverged_step", np.full(1, -1)) >= 0)
    alive = alive & np.isfinite(seeds[metric])
    values = seeds["value"].astype(float)
    shift = np.zeros(len(values))
    for value in np.unique(values):
        same = values == value
        shift[same] = np.linspace(-0.22, 0.22, same.sum()) if same.sum() > 1 else 0
    opacity = np.where(seeds[flag] > 0, 0.8, 0.35)[alive]
    marker = {
        "color": look.color,
        "symbol": look.marker + shape,
        "size": 4,
        "opacity": [float(one) for one in opacity],
    }
    shown = np.asarray([scale.values[np.abs(scale.values - v).argmin()]
                        for v in values[alive]])  # fmt: skip
    return [
        knob_trace(
            scale, shown, change(seeds[metric][alive]), i, "seed", mode="markers",
            marker=marker, shift=shift[alive],
            hovertemplate=hover(entry, f"%{{y}}, one {entry.unit}"),
        )
    ]  # fmt: skip


def _middle(
    i: int,
    entry: Entry,
    look: Look,
    scale: KnobScale,
    key: str,
    change: Any = np.asarray,
    what: str = "median",
) -> list[Trace]:
    """Median and quartiles over seeds of one entry of the curve."""
    curve = _curve(entry)
    if key not in curve[0]:
        return []
    low, middle, high = (
        change(np.asarray([number(point[key][one]) for point in curve]))
        for one in ("low", "median", "high")
    )
    return _joined(
        scale,
        [point["value"] for point in curve],
        middle,
        i,
        look,
        error_y=between(middle, low, high, look.color),
        hovertemplate=hover(entry, f"{what} %{{y}}"),
    )


def _nulls(
    i: int,
    entry: Entry,
    look: Look,
    scale: KnobScale,
    key: str,
    side: str,
    change: Any = np.asarray,
    only: Sequence[str] = tuple(NULL_LINES),
) -> list[Trace]:
    """The extreme quantile of each null; ``key`` is "" for those of the criterion."""
    curve, traces = _curve(entry), []
    for null in only:
        dash, name = NULL_LINES[null]
        blocks = [point.get(key, {}) if key else point for point in curve]
        found = [
            number(block.get("nulls", {}).get(null, {}).get(side)) for block in blocks
        ]
        if not np.isfinite(found).any():
            continue
        values = [point["value"] for point in curve]
        traces.append(
            knob_trace(
                scale, values, change(np.asarray(found)), i, "null",
                mode="lines" if len(values) > 1 else "markers",
                line={"color": look.color, "dash": dash, "width": 1}, opacity=0.8,
                hovertemplate=hover(entry, f"null of {name} %{{y}}"),
            )
        )  # fmt: skip
    return traces
