"""The few rows of ``metrics.parquet`` that a page shows, read without the others."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from routers.signature import COLLAPSE, HUB_KEY, VALUE_DRAIN
from routers.signature.nulls import UNTRAINED
from sweeps.inference.parts import FLAGS

HUB_MASS = "concentration/hub_mass"
NULLS = ("", "uniform", "brake_only", UNTRAINED)
"""Nulls that are shown by layer; "" is the network itself."""
SHOWN = {
    HUB_MASS: "hub mass",
    COLLAPSE: "rank ratio",
    HUB_KEY: "ln hub's key / median",
    VALUE_DRAIN: "ln hub's value / median",
    "stream/matrix_entropy": "entropy of the stream, nats",
    "stream/massive_activation": "massive activation of the stream",
}
"""Measures that are shown by layer, with their names."""


@dataclasses.dataclass(frozen=True)
class Layers:
    """Means over members at the last step, by layer and head.

    Attributes:
      measures: For each measure, by null, float32 ``[values, layers, heads]``; NaN
        where nothing was measured. What belongs to a whole layer has one head.
    """

    measures: dict[str, dict[str, np.ndarray]]


def read_seeds(path: Path, summary: dict[str, Any]) -> dict[str, np.ndarray]:
    """What every member shows at the last step.

    Args:
      path: The table.
      summary: Content of ``onset.json``.

    Returns:
      Arrays ``[members]``: ``value`` of the knob, and each measure and outcome there is
      by its name in the table.
    """
    knob = summary["knob"]
    outcomes = [f"outcome/{flag}" for flag in FLAGS.values()]
    wanted = [
        summary["criterion"]["metric"],
        COLLAPSE,
        HUB_KEY,
        VALUE_DRAIN,
        "loss/held_out",
        "outcome/diverged_step",
        *outcomes,
    ]
    chosen = (
        (pc.field("step") == summary["steps"])
        & (pc.field("layer") == -1)
        & (pc.field("head") == -1)
        & (pc.field("null") == "")
        & pc.field("metric").isin(wanted)
    )
    columns = ["member", knob, "metric", "value"]
    table = pq.read_table(path, columns=columns, filters=chosen)
    member, name = table["member"].to_numpy(), np.asarray(table["metric"].to_pylist())
    order = np.argsort(member, kind="stable")
    values, found = table["value"].to_numpy()[order], name[order]
    seeds = {metric: values[found == metric] for metric in np.unique(found).tolist()}
    if seeds:
        first = next(iter(seeds))
        seeds["value"] = table[knob].to_numpy()[order][found == first]
    return seeds


def read_layers(path: Path, summary: dict[str, Any]) -> Layers | None:
    """Measures by layer and head; None if there is only one layer and one head.

    Args:
      path: The table.
      summary: Content of ``onset.json``.
    """
    knob = summary["knob"]
    parts = [
        _means(path, knob, summary["steps"], NULLS, ""),
        # Of a trained network, the untrained null is the same network at step 0.
        _means(path, knob, 0, ("",), UNTRAINED),
    ]
    table = pa.concat_tables(parts)
    layer, head = table["layer"].to_numpy(), np.maximum(table["head"].to_numpy(), 0)
    values, place = np.unique(table[knob].to_numpy(), return_inverse=True)
    if len(values) != len(summary["curve"]):
        raise ValueError(f"{path.name} and the curve have different values of {knob}")
    mean, null = table["value_mean"].to_numpy(), np.asarray(table["null"].to_pylist())
    metric = np.asarray(table["metric"].to_pylist())
    measures: dict[str, dict[str, np.ndarray]] = {}
    for name in SHOWN:
        for one in NULLS:
            here = (metric == name) & (null == one)
            if not here.any():
                continue
            shape = len(values), int(layer[here].max()) + 1, int(head[here].max()) + 1
            found = np.full(shape, np.nan, np.float32)
            found[place[here], layer[here], head[here]] = mean[here]
            measures.setdefault(name, {})[one] = found
    whole = measures.get(HUB_MASS, {}).get("")
    return Layers(measures) if whole is not None and whole[0].size > 1 else None


def _means(
    path: Path, knob: str, step: int, nulls: tuple[str, ...], called: str
) -> pa.Table:
    """Means over members by value, null, measure, layer and head.

    Args:
      path: The table.
      knob: The swept knob.
      step: Which step.
      nulls: Which nulls.
      called: What they are called instead; "" leaves their names.
    """
    chosen = (
        (pc.field("step") == step)
        & (pc.field("layer") >= 0)
        & pc.field("null").isin(nulls)
        & pc.field("metric").isin(list(SHOWN))
    )
    keys = [knob, "null", "metric", "layer", "head"]
    table = pq.read_table(path, columns=[*keys, "value"], filters=chosen)
    finite = table.filter(pc.is_finite(table["value"]))
    table = finite.group_by(keys).aggregate([("value", "mean")])
    if called:
        names = pa.array([called] * len(table), pa.string())
        table = table.set_column(table.column_names.index("null"), "null", names)
    return table.select([*keys, "value_mean"])
