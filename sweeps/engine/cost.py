"""What a sweep will cost, estimated before its first step."""

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sweeps.design.experiment import Experiment
from sweeps.engine.inputs import make_members, take_row
from sweeps.engine.programs import CompiledSweep
from sweeps.storage.journal import KEPT
from train.loop import Loop
from train.step import TrainState

EFFICIENCY = 0.35
"""Share of a large matrix product's rate that training steps are assumed to reach.

It puts the default attention sweep at 1.9 minutes where 1.8 were measured on 2 cores;
recurrent routers reach less and take two to three times the estimate."""


@dataclasses.dataclass(frozen=True)
class Cost:
    """The estimated cost of a sweep.

    Attributes:
      seconds: Time of training.
      memory_bytes: Size of a chunk's arrays, as the compiler laid them out.
    """

    seconds: float
    memory_bytes: float


def estimate_cost(compiled: CompiledSweep) -> Cost:
    """Estimates time from a program's FLOPs and this machine's own matrix rate.

    The compiler counts a loop's body once, so its count is one step of the members
    that a device computes at once.
    """
    flops = compiled.programs.chunk.cost_analysis()["flops"]
    experiment, placement = compiled.experiment, compiled.placement
    rows = experiment.most_waves * compiled.rows / placement.groups
    step_seconds = flops / placement.width / (EFFICIENCY * _matmul_rate())
    return Cost(
        seconds=rows * experiment.steps * step_seconds,
        memory_bytes=compiled.chunk_bytes,
    )


def announce(compiled: CompiledSweep, cost: Cost, workdir: Path) -> str:
    """What will run and what it will cost, in one sentence."""
    experiment, placement = compiled.experiment, compiled.placement
    grid, refinement = experiment.grid, experiment.refinement
    values = len(grid.axis.values)
    more = ""
    if refinement.rounds:
        added = experiment.most_members - grid.members
        more = (
            f", then up to {added} in {refinement.rounds} "
            f"round{'s' * (refinement.rounds > 1)} of {refinement.num} values inside "
            f"the interval, all in waves of {compiled.rows}"
        )
    shared = f", {placement.data} to a batch" if placement.data > 1 else ""
    return (
        f"{grid.members} members ({values} value{'s' * (values != 1)} of "
        f"{grid.axis.knob} × {experiment.units} seeds) × {experiment.steps} steps"
        f"{more} on {placement.devices} {jax.default_backend()} device(s){shared}, "
        f"{placement.width} at once on each: about {cost.seconds / 60:.1f} min and "
        f"{cost.memory_bytes / 1e6:.0f} MB of arrays; compiled in "
        f"{compiled.seconds:.1f} s; results go to {workdir}"
    )


def _matmul_rate(size: int = 768) -> float:
    """FLOP/s of one device on a square float32 product."""
    multiply = jax.jit(jnp.dot)
    matrix = jnp.ones((size, size))
    multiply(matrix, matrix).block_until_ready()
    start = time.perf_counter()
    for _ in range(5):
        result = multiply(matrix, matrix)
    result.block_until_ready()
    return 5 * 2 * size**3 / (time.perf_counter() - start)


def state_bytes(experiment: Experiment) -> int:
    """Size of all members' states, with those of refinement, from shapes alone.

    Raises:
      ValueError: router, task and sizes do not fit each other.
    """
    return _bytes(_one_state(experiment)) * experiment.most_members


def disk_bytes(experiment: Experiment) -> int:
    """Most that the checkpoints of a sweep take: newest and final states, kept steps.

    Raises:
      ValueError: router, task and sizes do not fit each other.
    """
    state = _one_state(experiment)
    steps = len(experiment.kept_steps)
    member = (KEPT + 1) * _bytes(state) + steps * _bytes(state.params)
    return member * experiment.most_members


def _one_state(experiment: Experiment) -> TrainState:
    """Shapes of one member's state."""
    loop = Loop(experiment.spec, spread=lambda function: function)

    def one_member() -> TrainState:
        rows = make_members(experiment, experiment.grid, np.zeros(1, int))
        return loop.init(take_row(rows, 0), experiment.task)

    return jax.eval_shape(one_member)


def _bytes(tree: Any) -> int:
    leaves = jax.tree.leaves(tree)
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)
