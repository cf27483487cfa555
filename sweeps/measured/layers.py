"""The signature of a measured model layer by layer, as a table for the terminal."""

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from routers.signature import COLLAPSE, HUB_KEY, VALUE_DRAIN
from routers.signature.concentration import SINK_THRESHOLD
from routers.signature.nulls import REAL, UNTRAINED
from sweeps.findings.results import Results
from sweeps.inference.diagnosis import Diagnosis

HUB_MASS = "concentration/hub_mass"
ENTROPY, MASSIVE = "stream/matrix_entropy", "stream/massive_activation"


def most_measured(results: Results) -> int:
    """Index of the value of the knob at which the most nulls were taken."""
    assert results.diagnosis is not None
    taken = np.isfinite(results.diagnosis.measures[HUB_MASS]).any((2, 3, 4)).sum(1)
    return int(results.experiment.grid.value[int(taken.argmax())])


def sink_rate(diagnosis: Diagnosis, chosen: np.ndarray, null: str) -> float:
    """Share of layers x heads x windows whose hub mass exceeds .3, under a null."""
    values = diagnosis.measures[HUB_MASS][chosen, diagnosis.nulls.index(null)]
    return float((values > SINK_THRESHOLD).mean())


def layers_table(results: Results) -> Table:
    """One row for each layer: medians over windows and heads, untrained in brackets."""
    diagnosis, grid = results.diagnosis, results.experiment.grid
    assert diagnosis is not None
    index = most_measured(results)
    chosen = grid.value == index
    measures = diagnosis.measures
    table = Table(
        title=f"Layer by layer at {grid.axis.knob} = {grid.axis.values[index]:g}",
        caption="Medians over windows and heads, in brackets those of the untrained "
        f"network. sinks: share of heads and windows with hub mass above "
        f"{SINK_THRESHOLD:g}. key, value: norms of the hub's key and value divided by "
        "the medians of all sources. entropy, massive: matrix entropy (nats) and "
        "largest over median entry of the residual stream that the layer reads.",
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    columns = {
        "hub mass": (HUB_MASS, "median"),
        "sinks": (HUB_MASS, "share"),
        "rank ratio": (COLLAPSE, "median"),
        "key": (HUB_KEY, "factor"),
        "value": (VALUE_DRAIN, "factor"),
        "entropy": (ENTROPY, "median"),
        "massive": (MASSIVE, "median"),
    }
    known = {head: what for head, what in columns.items() if what[0] in measures}
    for head in ("layer", *known):
        table.add_column(head, justify="right", no_wrap=True)
    for layer in range(measures[HUB_MASS].shape[3]):
        cells = [
            _cell(diagnosis, chosen, layer, name, how) for name, how in known.values()
        ]
        table.add_row(str(layer), *cells)
    return table


def _cell(
    diagnosis: Diagnosis, chosen: np.ndarray, layer: int, name: str, how: str
) -> str:
    shown = []
    for null in (REAL, UNTRAINED):
        place = diagnosis.nulls.index(null)
        values = diagnosis.measures[name][chosen, place, 0, layer]
        if how == "share":
            shown.append(f"{(values > SINK_THRESHOLD).mean():.2f}")
            continue
        median = float(np.nanmedian(values)) if np.isfinite(values).any() else np.nan
        number = np.exp(median) if how == "factor" else median
        shown.append(f"{number:.3g}" if np.isfinite(number) else "–")
    return f"{shown[0]} ({shown[1]})"
