"""The figure of a measured model: the signature layer by layer, against its nulls."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from routers.signature import COLLAPSE, HUB_KEY, VALUE_DRAIN
from routers.signature.nulls import REAL, UNTRAINED
from sweeps.findings.results import Results
from sweeps.report.figures import STYLE
from sweeps.storage.files import replacing

NULLS = {
    UNTRAINED: ("untrained", "tab:gray"),
    "uniform": ("uniform", "tab:green"),
    "brake_only": ("brake alone", "tab:olive"),
    "shuffled_keys": ("shuffled keys", "tab:purple"),
    "random_tokens": ("random tokens", "tab:brown"),
}
"""Label and colour of the nulls that are drawn, where they were taken."""
PANELS = {
    "concentration/hub_mass": "hub mass",
    COLLAPSE: "rank ratio",
    HUB_KEY: "ln hub's key / median",
    VALUE_DRAIN: "ln hub's value / median",
    "stream/matrix_entropy": "entropy of the stream",
    "stream/massive_activation": "massive activation",
}
"""Measures that are drawn over the layers, where they exist."""


def draw_layers(path: Path, name: str, results: Results, value: float) -> None:
    """Draws every measure over the layers, and hub mass by layer and head.

    Lines are medians over windows and heads, bands their quartiles.

    Args:
      path: File that is written, PNG.
      name: Name of the model.
      results: What was measured, with the full signature.
      value: Value of the swept knob at which the layers are shown.
    """
    diagnosis = results.diagnosis
    assert diagnosis is not None
    grid = results.experiment.grid
    chosen = grid.value == grid.axis.values.index(value)
    known = diagnosis.measures
    shown = {name: label for name, label in PANELS.items() if name in known}
    hubs = diagnosis.measures["concentration/hub_mass"][chosen, 0, 0]  # [W, L, H]
    with plt.rc_context(STYLE):
        rows = -(-(len(shown) + 1) // 2)
        figure, panels = plt.subplots(
            rows, 2, figsize=(7.6, 2.3 * rows), layout="constrained"
        )
        flat = list(panels.ravel())
        image = flat[0].imshow(
            np.nanmean(hubs, 0).T, aspect="auto", origin="lower", vmin=0, vmax=1
        )
        flat[0].set(xlabel="layer", ylabel="head")
        figure.colorbar(image, ax=flat[0], label="hub mass,\nmean over windows")
        for axes, (measure, label) in zip(flat[1:], shown.items(), strict=False):
            for place, null in enumerate(diagnosis.nulls):
                values = known[measure][chosen, place, 0]
                _line(axes, values, null)
            axes.set(xlabel="layer", ylabel=label)
            if measure == "stream/massive_activation":
                axes.set_yscale("log")
        for axes in flat[len(shown) + 1 :]:
            axes.set_visible(False)
        handles, labels = flat[1].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        figure.suptitle(f"{name} at {grid.axis.knob} = {value:g}")
        with replacing(path) as file:
            figure.savefig(file, format="png")
        plt.close(figure)


def _line(axes: Axes, values: np.ndarray, null: str) -> None:
    """One line over layers, of values ``[W, L, H]``, if there are any."""
    if null not in (REAL, *NULLS) or not np.isfinite(values).any():
        return
    label, color = ("as published", "tab:red") if null == REAL else NULLS[null]
    by_layer = np.moveaxis(values, 1, 0).reshape(values.shape[1], -1)
    low, middle, high = np.nanquantile(by_layer, (0.25, 0.5, 0.75), axis=1)
    layers = np.arange(len(middle))
    axes.plot(layers, middle, color=color, lw=1.3, label=label)
    axes.fill_between(layers, low, high, color=color, alpha=0.15, lw=0)
