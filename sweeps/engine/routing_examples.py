"""Routing matrices of trained members: beside the onset, and along the knob."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from sweeps.engine.inputs import make_members, take_row
from sweeps.engine.train import Trained
from sweeps.findings.results import Results
from train.measure import routing_example

MOST_CELLS = 64
"""Number of rows and of columns that a matrix is kept with, at most."""


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
    matrices = _matrices(trained, results, inputs)
    examples = []
    for side in sorted(sides):
        member = _middle(results, first[side])
        layer, head, weights = _strongest(results, member, matrices(member))
        grid = results.experiment.grid
        title = f"{grid.axis.knob} = {values[first.index(first[side])]:.3g}, "
        title += f"seed {grid.init_seed[member]}"
        if results.final.layers[results.experiment.criterion.metric][0, 0].size > 1:
            title += f", layer {layer}, head {head}"
        examples.append((title, weights))
    return examples


def routing_by_value(
    trained: Trained, results: Results, inputs: np.ndarray
) -> dict[str, np.ndarray]:
    """A routing matrix at every value of the knob, of one seed on one input.

    The seed is the one of median concentration at the smallest value; at each value,
    its head of highest concentration is taken. Large matrices are pooled: neighbouring
    queries are averaged and neighbouring sources added, so that rows still sum to what
    they did.

    Args:
      trained: The trained members.
      results: Their results.
      inputs: One held-out sequence or graph, ``[T, ...]``.

    Returns:
      ``values`` float64 ``[values]``; ``weights`` float16 ``[values, T, S]``, NaN for a
      member that diverged; ``layer`` and ``head`` ``[values]``; ``seed``; ``pooled``,
      the number of positions that share a row or a column.
    """
    grid = results.experiment.grid
    unit = grid.unit[_middle(results, 0)]
    matrices = _matrices(trained, results, inputs)
    kept: dict[str, list[Any]] = {"weights": [], "layer": [], "head": []}
    pooled = 1
    for index in range(len(grid.axis.values)):
        member = int(np.flatnonzero((grid.value == index) & (grid.unit == unit))[0])
        layer, head, weights = _strongest(results, member, matrices(member))
        pooled = -(-max(weights.shape) // MOST_CELLS)
        kept["weights"].append(pool(weights, pooled).astype(np.float16))
        kept["layer"].append(layer)
        kept["head"].append(head)
    seed = grid.init_seed[member]
    return {
        "values": np.asarray(grid.axis.values, float),
        "seed": np.asarray(seed),
        "pooled": np.asarray(pooled),
        **{name: np.asarray(found) for name, found in kept.items()},
    }


def pool(weights: np.ndarray, size: int) -> np.ndarray:
    """A matrix ``[T, S]`` with ``size`` queries averaged and ``size`` sources added."""
    rows, columns = (np.arange(0, length, size) for length in weights.shape)
    added = np.add.reduceat(weights, columns, axis=1)
    counts = np.diff([*rows, len(weights)])
    return np.add.reduceat(added, rows, axis=0) / counts[:, None]


def _middle(results: Results, index: int) -> int:
    """The member of median concentration at one value."""
    experiment = results.experiment
    members = np.flatnonzero(experiment.grid.value == index)
    found = results.final.model[experiment.criterion.metric][members, 0]
    return int(members[np.argsort(found)][len(members) // 2])


def _strongest(
    results: Results, member: int, matrices: np.ndarray
) -> tuple[int, int, np.ndarray]:
    """Layer, head and weights ``[T, S]`` of a member's highest concentration."""
    metric = results.experiment.criterion.metric
    layers = results.final.layers[metric][member, 0]  # [L, H]
    layer, head = np.unravel_index(np.nanargmax(np.nan_to_num(layers)), layers.shape)
    return int(layer), int(head), matrices[layer, head]


def _matrices(
    trained: Trained, results: Results, inputs: np.ndarray
) -> Callable[[int], np.ndarray]:
    """A function from a member to its routing weights ``[L, H, T, S]``."""
    experiment = results.experiment
    spec, geometry = experiment.spec, experiment.task.geometry()
    compiled = jax.jit(
        lambda params, knobs, inputs: routing_example(
            spec.model, spec.slot, params, knobs, geometry, inputs
        )
    )

    @functools.cache
    def of(member: int) -> np.ndarray:
        made = make_members(experiment, experiment.grid, np.asarray([member]))
        knobs = jax.tree.map(np.asarray, take_row(made.knobs, 0))
        params = take_row(trained.states.params, member)
        return np.asarray(compiled(params, knobs, inputs))

    return of
