"""Whether a sweep fits this machine's memory, asked before anything is compiled.

Only lower bounds are counted: arrays that no layout and no compiler can avoid. What
passes may still be too large, but what is refused cannot run.
"""

import math
from typing import NamedTuple

import jax
from ml_collections import ConfigDict

from sweeps.design.experiment import Experiment
from sweeps.design.ranges import flat_items
from train.tasks.memory import memory_bytes, require_memory

FLOAT = 4
"""Number of bytes of a float32 or an int32."""


class Part(NamedTuple):
    """Arrays that exist at the same time.

    Attributes:
      size: Their size in bytes; a lower bound.
      settings: Keys that make them large; the first is the one to change.
      power: Power of the first key to which the size is proportional.
    """

    size: float
    settings: tuple[str, ...]
    power: int = 1


def require_room(config: ConfigDict, experiment: Experiment, states: int) -> None:
    """Refuses a sweep whose arrays this machine's memory cannot hold.

    Accelerators have memory of their own, about which the compiler knows more.

    Args:
      config: Config of the sweep.
      experiment: The experiment that it describes.
      states: Size of all members' states in bytes.

    Raises:
      ValueError: it does not fit; the message names the settings that make it so, and
        what would fit.
    """
    if jax.default_backend() != "cpu":
        return
    values = dict(flat_items(config))
    for part in _parts(experiment, states / jax.process_count()):
        first, share = part.settings[0], memory_bytes() / max(part.size, 1)
        most = math.floor(values[first] * share ** (1 / part.power))
        named = ", ".join(f"{key}={values[key]}" for key in part.settings)
        fits = f"smaller, {first} at most {most:,}" if most else "smaller"
        require_memory(part.size, named, fits)


def _parts(experiment: Experiment, states: float) -> list[Part]:
    task, sizes, spec = experiment.task, experiment.spec.model.config, experiment.spec
    inputs, targets = jax.eval_shape(lambda: task.sample(jax.random.key(0), spec.batch))
    width = (sizes.layers + 1) * sizes.width + sizes.outputs
    measures = experiment.points * sizes.layers
    network = ("model.width", "model.layers", "model.mlp_ratio")
    of_states = [
        Part(states / experiment.most_members, network),
        Part(states, ("sweep.seeds", "sweep.num", *network)),
    ]
    parts = [
        # One number of every member, layer and measurement, of which there are many.
        Part(
            float(FLOAT) * experiment.most_members * measures,
            ("eval.points", "model.layers", "sweep.seeds", "sweep.num"),
        ),
    ]
    # The input of every layer and the logits, which the gradient needs.
    rows = float(FLOAT) * targets.size * width
    if inputs.ndim == 3:  # a graph: the task has checked that its nodes fit
        return [*parts, Part(rows, ("model.width", "model.layers")), *of_states]
    batch = ("train.batch", "train.length")
    chunk = (int(experiment.grid.data_seed.max()) + 1) * spec.chunk
    held_out = experiment.sequences * task.length
    return [
        *parts,
        Part(rows, (*batch, "model.width", "model.layers")),
        # Distances and mask of every pair of positions.
        Part((FLOAT + 1) * float(task.length) ** 2, ("train.length",), 2),
        # The batches of one chunk are drawn together.
        Part(
            float(2 * FLOAT) * inputs.size * chunk,
            ("train.steps", "eval.points", "sweep.data_seeds", *batch),
        ),
        Part(float(2 * FLOAT) * held_out, ("eval.sequences", "train.length")),
        *of_states,
    ]
