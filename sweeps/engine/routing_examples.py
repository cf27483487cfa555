"""Routing matrices of trained members on both sides of the onset."""

from typing import Any

import jax
import numpy as np

from sweeps.engine.train import Sweep
from sweeps.findings.results import Results
from train.measure import routing_example


def examples(
    trained: Sweep, results: Results, summary: dict[str, Any]
) -> list[tuple[str, np.ndarray]]:
    """A routing matrix on each side of the onset, or at both ends without one."""
    # Of the first grid: refinement adds values where both sides look alike.
    first = [i for i, point in enumerate(summary["curve"]) if point["round"] == 0]
    values = np.asarray(results.experiment.grid.axis.values)[first]
    estimate = summary["onset"]["estimate"]
    if estimate is None:
        sides = {0, len(values) - 1}
    else:
        # One value away from the gap: the sides themselves, not the transition.
        above = int(np.searchsorted(values, estimate))
        sides = {max(above - 2, 0), min(above + 1, len(values) - 1)}
    return [_example(trained, results, first[side]) for side in sorted(sides)]


def _example(trained: Sweep, results: Results, index: int) -> tuple[str, np.ndarray]:
    """The member of median concentration at one value, in its strongest head."""
    final, grid = results.snapshots[-1], results.experiment.grid
    members = np.flatnonzero(grid.value == index)
    metric = results.experiment.criterion.metric
    order = members[np.argsort(final.model[metric][members, 0])]
    member = int(order[len(order) // 2])
    layers = final.layers[metric][member, 0]  # [L, H]
    layer, head = np.unravel_index(np.nanargmax(np.nan_to_num(layers)), layers.shape)
    one = jax.tree.map(
        lambda leaf: np.asarray(leaf[member]),
        (trained.states.params, trained.members.knobs),
    )
    matrices = jax.jit(
        lambda params, knobs, inputs: routing_example(
            results.experiment.model,
            results.experiment.slot,
            params,
            knobs,
            results.experiment.task.geometry(),
            inputs,
        )
    )(*one, np.asarray(trained.batch[0][0]))
    value, seed = grid.axis.values[index], grid.init_seed[member]
    title = f"{grid.axis.knob} = {value:.3g}, seed {seed}"
    if layers.size > 1:
        title += f", layer {layer}, head {head}"
    return title, np.asarray(matrices[layer, head])
