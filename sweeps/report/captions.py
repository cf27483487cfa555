"""Captions of the figures of a sweep, which state seeds, nulls and criterion."""

from typing import Any

from sweeps.report.sentences import in_units, title

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
