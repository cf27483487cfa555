"""The signature of a measured model layer by layer, as a table for the terminal."""

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from routers.signature import COLLAPSE, HUB_KEY, VALUE_DRAIN
from routers.signature.concentration import SINK_THRESHOLD
from routers.signature.nulls import REAL, UNTRAINED
from sweeps.findings.results import Results

HUB_MASS = "concentration/hub_mass"
ENTROPY, MASSIVE = "stream/matrix_entropy", "stream/massive_activation"


def most_measured(results: Results) -> int:
    """Index of the value of the knob at which the most nulls were taken."""
    assert results.diagnosis is not None
    taken = np.isfinite(results.diagnosis.measures[HUB_MASS]).any((2, 3, 4)).sum(1)
    return int(results.experiment.grid.value[int(taken.argmax())])


COLUMNS = {
    "hub\nmass": (HUB_MASS, "median"),
    "sinks": (HUB_MASS, "share"),
    "rank\nratio": (COLLAPSE, "median"),
    "hub\nkey": (HUB_KEY, "factor"),
    "hub\nvalue": (VALUE_DRAIN, "factor"),
    "stream\nentropy": (ENTROPY, "median"),
    "massive\nactivation": (MASSIVE, "median"),
}
"""Measure of each column, and what of it is shown over windows and heads."""


def layers_table(results: Results) -> Table:
    """One row for each layer, and a last one for the untrained network."""
    diagnosis, grid = results.diagnosis, results.experiment.grid
    assert diagnosis is not None
    index = most_measured(results)
    chosen = grid.value == index
    known = {h: what for h, what in COLUMNS.items() if what[0] in diagnosis.measures}
    table = Table(
        title=f"Layer by layer at {grid.axis.knob} = {grid.axis.values[index]:g}",
        caption="Medians over windows and heads; untrained: over its layers as well. "
        f"sinks: share of heads and windows with hub mass above {SINK_THRESHOLD:g}. "
        "hub key, value: norms of the hub's key and value divided by the medians of "
        "all sources. stream entropy, massive activation: matrix entropy in nats, and "
        "largest over median entry, of the residual stream that the layer reads.",
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for head in ("layer", *known):
        table.add_column(head, justify="right", no_wrap=True)

    def row(label: str, null: str, layers: slice) -> None:
        place = diagnosis.nulls.index(null)
        cells = [
            _cell(diagnosis.measures[name][chosen, place, 0, layers], how)
            for name, how in known.values()
        ]
        table.add_row(label, *cells)

    layers = diagnosis.measures[HUB_MASS].shape[3]
    for layer in range(layers):
        row(str(layer), REAL, slice(layer, layer + 1))
    row("untrained", UNTRAINED, slice(layers))
    return table


def _cell(values: np.ndarray, how: str) -> str:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return "–"
    if how == "share":
        return f"{(finite > SINK_THRESHOLD).mean():.2f}"
    median = float(np.median(finite))
    return f"{np.exp(median) if how == 'factor' else median:.3g}"
