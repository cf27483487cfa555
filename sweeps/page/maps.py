"""One sweep in detail: in training, in depth, its routing, and layer by layer."""

from typing import Any

import numpy as np

from sweeps.page.measures import SHOWN, Layers
from sweeps.page.plots import (
    INK,
    NULL_LINES,
    Plot,
    Trace,
    label,
    named_cells,
    packed,
    rounded,
    shades,
)
from sweeps.page.reading import Entry
from sweeps.report.parts import PART_NAMES, shares_of
from sweeps.storage.shape import SEED

Titled = tuple[str, Plot]
HEAT = "heat"
"""Scale of colours from none to all, which the page's script replaces."""
BOTH = "RdBu"
"""Scale of colours for numbers on both sides of 0."""
MOST_TITLE = 120
"""Number of characters above which a title is shortened."""
MOST_ROWS, MOST_COLUMNS = 20, 9
"""Number of cells above which only some are named on an axis."""


def training(entry: Entry) -> dict[str, Titled]:
    """Survival of each part, and its share of the seeds over (value, step)."""
    assert entry.summary is not None
    summary = entry.summary
    if entry.unit != SEED:
        return {}
    survival, maps = {}, {}
    for part, name in PART_NAMES.items():
        course = summary["curve"][0]["parts"].get(part)
        if not course or len(course["training"]["step"]) < 2:
            continue
        name, steps = name.capitalize(), course["training"]["step"]
        survival[f"survival_{part}"] = (
            f"{name}: share of {entry.unit}s free of it",
            _survival(summary, part, steps),
        )
        shares = shares_of(summary, part, "training", "collapsed")
        plot = _map(summary, part, shares, [str(step) for step in steps])
        plot["layout"]["xaxis"]["title"] = {"text": "training step (measured)"}
        maps[f"steps_{part}"] = f"{name} at each step", plot
    return survival | maps


def _survival(summary: dict[str, Any], part: str, steps: list[int]) -> Plot:
    """The share of members that have not shown a part so far, by value."""
    free = 1 - shares_of(summary, part, "training", "ever")
    traces: list[Trace] = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": steps,
            "y": rounded(share),
            "line": {"color": color, "shape": "hv", "width": 1.6},
            "showlegend": False,
            "hovertemplate": f"{label(summary['knob'])} = {point['value']:.4g}, "
            "step %{x}: %{y:.2f}<extra></extra>",
        }
        for point, share, color in zip(
            summary["curve"], free, shades(len(free)), strict=True
        )
    ]
    return {
        "data": [*traces, _legend(summary, shades(len(free)))],
        "layout": {
            "xaxis": {"title": {"text": "training step"}, "range": [0, steps[-1]]},
            "yaxis": {"range": [-0.04, 1.04]},
        },
    }


def _legend(summary: dict[str, Any], colors: list[str]) -> Plot:
    """A point out of sight, whose colour bar names the values."""
    count = len(colors)
    steps = [
        [place, color]
        for i, color in enumerate(colors)
        for place in (i / count, (i + 1) / count)
    ]
    every = range(0, count, 1 + (count - 1) // MOST_ROWS)
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [0],
        "y": [-9],
        "showlegend": False,
        "hoverinfo": "skip",
        "marker": {
            "color": [0],
            "cmin": -0.5,
            "cmax": count - 0.5,
            "colorscale": steps,
            "showscale": True,
            "colorbar": {
                "thickness": 10,
                "tickvals": list(every),
                "ticktext": [f"{summary['curve'][i]['value']:.3g}" for i in every],
            },
        },
    }


def depth(entry: Entry) -> dict[str, Titled]:
    """Where in depth each part is at the last step, over (value, layer)."""
    assert entry.summary is not None
    summary, found = entry.summary, {}
    if summary["layers"] < 2:
        return {}
    for part, name in PART_NAMES.items():
        course = summary["curve"][0]["parts"].get(part)
        if not course or not course["depth"]:
            continue
        shares = shares_of(summary, part, "depth", "collapsed")
        layers = [str(layer) for layer in range(shares.shape[1])]
        plot = _map(summary, part, shares, layers)
        plot["layout"]["xaxis"]["title"] = {"text": "layer, from the input"}
        found[f"layers_{part}"] = f"{name.capitalize()} in each layer", plot
    return found


def _map(
    summary: dict[str, Any], part: str, shares: np.ndarray, columns: list[str]
) -> Plot:
    """Shares with one row for each value; the onset is a line between rows."""
    values = [point["value"] for point in summary["curve"]]
    shapes = []
    estimate = summary["parts"][part]["onset"]["estimate"]
    if estimate is not None:
        rows = np.flatnonzero(np.asarray(values) > 0)
        place = np.interp(np.log(estimate), np.log(np.asarray(values)[rows]), rows)
        shapes = [
            {
                "type": "line", "xref": "paper", "x0": 0, "x1": 1,
                "y0": float(place), "y1": float(place),
                "line": {"color": INK, "width": 1.5, "dash": "dash"},
            }
        ]  # fmt: skip
    return {
        "data": [
            {
                "type": "heatmap",
                "z": [rounded(row) for row in shares],
                "zmin": 0,
                "zmax": 1,
                "colorscale": HEAT,
                "xgap": 1,
                "ygap": 1,
                "colorbar": {"title": {"text": "share"}, "thickness": 10},
                "hovertemplate": "row %{y}, column %{x}: %{z:.2f}<extra></extra>",
            }
        ],
        "layout": {
            "xaxis": named_cells(columns, MOST_COLUMNS),
            "yaxis": {"title": {"text": label(summary["knob"])}}
            | named_cells([f"{value:.4g}" for value in values], MOST_ROWS),
            "shapes": shapes,
        },
    }


def routing(entry: Entry) -> dict[str, Titled]:
    """Routing matrices of one seed on one sequence; a slider moves along the knob."""
    examples = entry.examples
    if examples is None:
        return {}
    least = float(np.nanmin(examples.weights, initial=0))
    most = float(np.nanmax(examples.weights, initial=1 if least >= 0 else 0))
    positions = "positions" if examples.pooled == 1 else f"{examples.pooled} positions"
    heat = {
        "type": "heatmap",
        "colorscale": HEAT if least >= 0 else BOTH,
        "zmin": 0 if least >= 0 else -max(-least, most),
        "zmax": max(-least, most),
        "colorbar": {"title": {"text": "weight"}, "thickness": 10},
        "hovertemplate": "query %{y}, source %{x}: %{z:.3f}<extra></extra>",
    }
    step = f" ({positions} a cell)" if examples.pooled > 1 else ""
    return {
        "routing": (
            "Routing of one seed",
            {
                "data": [heat],
                "frames": packed(examples.weights),
                "labels": [label(one, MOST_TITLE) for one in examples.titles],
                "square": True,
                "layout": {
                    "xaxis": {"title": {"text": f"source{step}"}, "zeroline": False},
                    "yaxis": {
                        "title": {"text": "query"},
                        "autorange": "reversed",
                        "zeroline": False,
                    },
                },
            },
        )
    }


def heads(entry: Entry) -> dict[str, Titled]:
    """Measures over (layer, head), and their course over layers beside the nulls."""
    if entry.layers is None or entry.summary is None:
        return {}
    found = {}
    labels = [
        f"{label(entry.knob)} = {point['value']:.4g}"
        for point in entry.summary["curve"]
    ]
    for number, (metric, name) in enumerate(SHOWN.items()):
        nulls = entry.layers.measures.get(metric, {})
        real = nulls.get("")
        if real is None:
            continue
        if real[0].size > real.shape[1]:
            low, high = _range(real)
            found[f"heads_{number}"] = (
                f"{name}, by layer and head",
                {
                    "data": [
                        {
                            "type": "heatmap",
                            "zmin": low,
                            "zmax": high,
                            "colorscale": HEAT if low == 0 else BOTH,
                            "colorbar": {"thickness": 10},
                            "hovertemplate": "layer %{x}, head %{y}: %{z:.3f}"
                            "<extra></extra>",
                        }
                    ],
                    "frames": packed(np.swapaxes(real, 1, 2)),
                    "labels": labels,
                    "layout": {
                        "xaxis": {"title": {"text": "layer"}, "zeroline": False},
                        "yaxis": {"title": {"text": "head"}, "zeroline": False},
                    },
                },
            )
        elif real.shape[1] > 1:
            found[f"course_{number}"] = name, _course(entry.layers, metric)
    return found


def _range(values: np.ndarray) -> tuple[float, float]:
    """Ends of a scale: from 0, or the same on both sides of it."""
    finite = values[np.isfinite(values)]
    most = float(np.abs(finite).max()) if len(finite) else 1.0
    return (0.0, most) if not (finite < 0).any() else (-most, most)


def _course(layers: Layers, metric: str) -> Plot:
    """One measure of whole layers at the first value, with its nulls."""
    traces = []
    for null, values in layers.measures[metric].items():
        dash, name = NULL_LINES.get(null, ("solid", "the network"))
        first = np.where(np.isfinite(values[0, :, 0]), values[0, :, 0], np.nan)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers" if not null else "lines",
                "y": rounded(first),
                "name": name,
                "line": {"dash": dash, "color": INK, "width": 1 + (not null)},
                "marker": {"color": INK, "size": 5},
                "hovertemplate": f"layer %{{x}}: %{{y}}, {name}<extra></extra>",
            }
        )
    above = all((np.nan_to_num(v, nan=1) > 0).all()
                for v in layers.measures[metric].values())  # fmt: skip
    wide = metric.endswith("massive_activation") and above
    return {
        "data": traces,
        "layout": {
            "showlegend": True,
            "height": 330,
            "xaxis": {"title": {"text": "layer"}},
            "yaxis": {"type": "log" if wide else "linear"},
        },
    }
