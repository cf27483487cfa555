"""Routing matrices of trained members on both sides of the onset."""

from typing import Any

import jax
import numpy as np

from sweeps.engine.inputs import make_members, take_row
from sweeps.engine.train import Trained
from sweeps.findings.results import Results
from train.measure import routing_example


def routing_examples(
    trained: Trained, results: Results, summary: dict[str, Any], inputs: np.ndarray
) -> list[tuple[str, np.ndarray]]:
    """A routing matrix on each side of the onset, or at both ends without an onset.

    Args:
      trained: The trained members.
      results: Their results.
      summary: Content of ``onset.json``.
      inputs: One held-out sequence or graph, ``[T, ...]``.

    Returns:
      A title and a matrix ``[T, S]`` for each example.
    """
    # Only values of the first grid: those that refinement adds lie too close together.
    first = [i for i, point in enumerate(summary["curve"]) if point["round"] == 0]
    values = np.asarray(results.experiment.grid.axis.values)[first]
    estimate = summary["onset"]["estimate"]
    if estimate is None:
        sides = {0, len(values) - 1}
    else:
        # One value away from the gap: the sides themselves, not the transition.
        above = int(np.searchsorted(values, estimate))
        sides = {max(above - 2, 0), min(above + 1, len(values) - 1)}
    return [_example(trained, results, first[side], inputs) for side in sorted(sides)]


def _example(
    trained: Trained, results: Results, index: int, inputs: np.ndarray
) -> tuple[str, np.ndarray]:
    """The strongest head of the member of median concentration at one value."""
    final, experiment = results.final, results.experiment
    grid, spec = experiment.grid, experiment.spec
    members = np.flatnonzero(grid.value == index)
    metric = experiment.criterion.metric
    order = members[np.argsort(final.model[metric][members, 0])]
    member = int(order[len(order) // 2])
    layers = final.layers[metric][member, 0]  # [L, H]
    layer, head = np.unravel_index(np.nanargmax(np.nan_to_num(layers)), layers.shape)
    knobs = take_row(make_members(experiment, grid, np.asarray([member])).knobs, 0)
    params = take_row(trained.states.params, member)
    matrices = jax.jit(
        lambda params, knobs, inputs: routing_example(
            spec.model, spec.slot, params, knobs, experiment.task.geometry(), inputs
        )
    )(params, jax.tree.map(np.asarray, knobs), inputs)
    value, seed = grid.axis.values[index], grid.init_seed[member]
    title = f"{grid.axis.knob} = {value:.3g}, seed {seed}"
    if layers.size > 1:
        title += f", layer {layer}, head {head}"
    return title, np.asarray(matrices[layer, head])
