"""The signature of a measured model layer by layer, as a table for the terminal."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.box import SIMPLE_HEAD
from rich.table import Table

from routers.signature import COLLAPSE, HUB_KEY, VALUE_DRAIN
from routers.signature.concentration import SINK_THRESHOLD
from routers.signature.nulls import REAL, UNTRAINED
from sweeps.measured.findings import PUBLISHED

HUB_MASS = "concentration/hub_mass"
ENTROPY, MASSIVE = "stream/matrix_entropy", "stream/massive_activation"


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


def layers_table(table: pa.Table, knob: str, value: float) -> Table:
    """One row for each layer, and a last one for the untrained network.

    Args:
      table: Content of ``metrics.parquet``.
      knob: The swept knob.
      value: Its value at which the layers are shown.
    """
    measures = sorted({name for name, _ in COLUMNS.values()})
    wanted = (
        pc.field("metric").isin(measures)
        & (pc.field("layer") >= 0)
        & (pc.field("step") == PUBLISHED)
        & pc.field("null").isin([REAL, UNTRAINED])
        & (pc.field(knob) == pa.scalar(value, pa.float32()))
    )
    chosen = table.filter(wanted)
    metric, null = (np.asarray(chosen[name].to_pylist()) for name in ("metric", "null"))
    layer, values = (chosen[name].to_numpy() for name in ("layer", "value"))
    known = {head: what for head, what in COLUMNS.items() if what[0] in metric}
    shown = Table(
        title=f"Layer by layer at {knob} = {value:g}",
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
        shown.add_column(head, justify="right", no_wrap=True)

    def row(label: str, here: np.ndarray) -> None:
        cells = [
            _cell(values[here & (metric == name)], how) for name, how in known.values()
        ]
        shown.add_row(label, *cells)

    for index in np.unique(layer[metric == HUB_MASS]):
        row(str(index), (null == REAL) & (layer == index))
    row("untrained", null == UNTRAINED)
    return shown


def _cell(values: np.ndarray, how: str) -> str:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return "–"
    if how == "share":
        return f"{(finite > SINK_THRESHOLD).mean():.2f}"
    median = float(np.median(finite))
    return f"{np.exp(median) if how == 'factor' else median:.3g}"
