"""Whether a sweep fits memory and disk, asked before anything is compiled.

Of memory, only lower bounds are counted: arrays that no layout and no compiler can
avoid. What passes may still be too large, but what is refused cannot run.
"""

import math
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from sweeps.design.experiment import Experiment
from sweeps.design.ranges import flat_items
from sweeps.errors import BadInput
from train.tasks.memory import memory_bytes, require_memory

FLOAT = 4
"""Number of bytes of a float32 or an int32."""
SPARE_BYTES = 100e6
"""Disk space that must remain free beyond what the sweep will write."""
MEMBERS = ("sweep.seeds", "sweep.num")
NETWORK = ("model.width", "model.layers", "model.mlp_ratio")
"""Settings on which the size of all members' states depends."""
KEEPING = "train.keep_every"
"""Setting on which the number of checkpoints depends."""


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
        require_memory(part.size, _named(values, part.settings), _fits(first, most))


def require_disk(config: ConfigDict, workdir: Path, need: float) -> None:
    """Refuses a sweep whose checkpoints the disk cannot hold.

    Args:
      config: Config of the sweep.
      workdir: Its work directory, which exists.
      need: Number of bytes that the sweep will write.

    Raises:
      BadInput: they do not fit; the message names the settings that make it so, and
        what would fit.
    """
    free = shutil.disk_usage(workdir).free
    if free >= need + SPARE_BYTES:
        return
    values = dict(flat_items(config))
    kept = (KEEPING,) if values.get(KEEPING) else ()
    settings = (*MEMBERS, *NETWORK, *kept)
    most = math.floor(values[MEMBERS[0]] * max(free - SPARE_BYTES, 0) / need)
    raise BadInput(
        f"{_named(values, settings)}: the sweep writes about {_in_mb(need)} to "
        f"workdir={workdir}, where {_in_mb(free)} are free and {_in_mb(SPARE_BYTES)} "
        f"must remain; must be {_fits(MEMBERS[0], most)}, or choose a directory on "
        "another disk"
    )


def _named(values: dict[str, Any], settings: tuple[str, ...]) -> str:
    return ", ".join(f"{key}={values[key]}" for key in settings)


def _fits(key: str, most: int) -> str:
    return f"smaller, {key} at most {most:,}" if most else "smaller"


def _in_mb(size: float) -> str:
    return f"{size / 1e6:,.0f} MB"


def _parts(experiment: Experiment, states: float) -> list[Part]:
    task, sizes, spec = experiment.task, experiment.spec.model.config, experiment.spec
    inputs, targets = jax.eval_shape(lambda: task.sample(jax.random.key(0), spec.batch))
    width = (sizes.layers + 1) * sizes.width + sizes.outputs
    measures = experiment.points * sizes.layers
    of_states = [
        Part(states / experiment.most_members, NETWORK),
        Part(states, (*MEMBERS, *NETWORK)),
    ]
    parts = [
        # One number of every member, layer and measurement, of which there are many.
        Part(
            float(FLOAT) * experiment.most_members * measures,
            ("eval.points", "model.layers", *MEMBERS),
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
