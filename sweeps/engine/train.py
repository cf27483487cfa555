"""Runs members of a sweep: compile once, train in chunks, measure, judge."""

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from routers.signature.nulls import Variant
from sweeps.design.experiment import Experiment
from sweeps.design.grid import Grid
from sweeps.engine.programs import (
    Programs,
    compile_programs,
    data_streams,
    diagnosis_inputs,
    first_step,
    held_out,
    make_loop,
    make_members,
    turns,
)
from sweeps.findings.results import Results
from sweeps.inference.criterion import Snapshot, summarize
from sweeps.runtime.placement import Placement, make_mesh, place, replicate
from sweeps.runtime.processes import to_host
from sweeps.storage.journal import Journal
from train.loop import Loop
from train.step import Member, TrainState, make_optimizer


@dataclasses.dataclass
class Sweep:
    """Compiled programs and their arguments; the state is the only thing that moves.

    Attributes:
      experiment: what runs.
      placement: where.
      rows: members that the programs take at once.
      programs: compiled for so many.
      members: padded to the rows, on the devices.
      states: likewise.
      task: on every device, as the next two.
      streams: PRNG keys of the data streams.
      batch: held out.
      compile_seconds: time spent tracing and compiling.
      step_bytes: arguments, outputs and temporaries of a chunk, as compiled.
    """

    experiment: Experiment
    placement: Placement
    rows: int
    programs: Programs
    members: Member
    states: TrainState
    task: Any
    streams: jax.Array
    batch: tuple[jax.Array, jax.Array]
    compile_seconds: float
    step_bytes: int


def prepare(
    experiment: Experiment,
    placement: Placement,
    members: int | None = None,
    variants: tuple[Variant, ...] = (),
) -> Sweep:
    """Compiles the sweep's programs and initialises every member.

    Args:
      experiment: whose members are ready to train afterwards.
      placement: where.
      members: that the programs take at once; all of the experiment's by default.
      variants: of the diagnosis; none without one.
    """
    mesh = make_mesh(placement)
    loop = make_loop(experiment, placement, mesh)
    start = time.perf_counter()
    rows = placement.padded(members or experiment.grid.members)
    (order,) = turns(experiment.grid.members, rows)
    ready = place(mesh, make_members(experiment, order))
    task = replicate(mesh, experiment.task)
    streams = replicate(mesh, data_streams(experiment))
    batch = replicate(mesh, held_out(experiment))
    diagnosis = None
    if variants:
        diagnosis = variants, replicate(mesh, diagnosis_inputs(experiment))
    programs = compile_programs(loop, mesh, ready, task, streams, batch, diagnosis)
    memory: Any = programs.chunk.memory_analysis()
    return Sweep(
        experiment=experiment,
        placement=placement,
        rows=rows,
        programs=programs,
        members=ready,
        states=programs.init(ready, task),
        task=task,
        streams=streams,
        batch=batch,
        compile_seconds=time.perf_counter() - start,
        step_bytes=placement.devices
        * (memory.argument_size_in_bytes + memory.temp_size_in_bytes),
    )


def refill(sweep: Sweep, grid: Grid) -> Sweep:
    """The same programs with other members, at most as many, at step 0."""
    experiment = dataclasses.replace(sweep.experiment, grid=grid)
    (order,) = turns(grid.members, sweep.rows)
    members = place(make_mesh(sweep.placement), make_members(experiment, order))
    return dataclasses.replace(
        sweep,
        experiment=experiment,
        members=members,
        states=sweep.programs.init(members, sweep.task),
    )


def run(
    sweep: Sweep,
    on_snapshot: Callable[[Snapshot, np.ndarray], None],
    journal: Journal | None = None,
    turn: int = 0,
) -> Results:
    """Trains to the end, measuring at step 0 and after every chunk.

    Args:
      sweep: from `prepare`; its states move.
      on_snapshot: called with each snapshot and who is collapsed in it, after it is
        in the journal; those that were there already come first.
      journal: gone on from, and kept.
      turn: number of this one in the journal.
    """
    experiment = sweep.experiment
    results = Results(experiment)
    losses = np.full(experiment.grid.members, np.nan)
    mesh = make_mesh(sweep.placement)
    saved = journal.newest(turn, sweep.states) if journal else None
    for snapshot in saved.snapshots if saved else ():
        results.add(snapshot)
        on_snapshot(snapshot, results.outcomes[-1])
    if saved:
        sweep.states = saved.states
    for point in range(len(results.snapshots), experiment.points + 1):
        if point:
            first = first_step(mesh, (point - 1) * experiment.chunk)
            sweep.states, chunk_losses = sweep.programs.chunk(
                sweep.states, sweep.members, sweep.task, sweep.streams, first
            )
            losses = to_host(chunk_losses)[: experiment.grid.members].mean(1)
        results.add(_snapshot(sweep, point * experiment.chunk, losses))
        if journal:
            journal.add(turn, point, sweep.states, results.snapshots[-1])
        on_snapshot(results.snapshots[-1], results.outcomes[-1])
    return results


def _snapshot(sweep: Sweep, step: int, losses: np.ndarray) -> Snapshot:
    """Ranks of nulls are used at both ends only, and half of a measurement's price."""
    members = sweep.experiment.grid.members
    ends = step in (0, sweep.experiment.steps)
    complete = replicate(make_mesh(sweep.placement), jnp.asarray(ends))
    measured = sweep.programs.measure(
        sweep.states, sweep.members, sweep.task, sweep.batch, complete
    )
    measures = {name: v[:members] for name, v in to_host(measured).items()}
    diverged = to_host(sweep.states.diverged)[:members]
    return summarize(step, measures, losses, diverged)


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a sweep will take, estimated before its first step.

    Attributes:
      seconds: of training.
      memory_bytes: arrays of a chunk, as the compiler laid them out.
    """

    seconds: float
    memory_bytes: float


EFFICIENCY = 0.35
"""Share of a large matrix product's rate that training steps are taken to reach.

It puts the default attention sweep at 1.9 minutes where 1.8 were measured on 2 cores;
recurrent routers reach less and take two to three times the estimate."""


def estimate_cost(sweep: Sweep, turns: int = 1) -> Cost:
    """Estimates time from the program's FLOPs and this machine's own matmul rate.

    The compiler counts a loop's body once, so its count is one member's step.

    Args:
      sweep: compiled.
      turns: of so many members as its programs take.
    """
    flops = sweep.programs.chunk.cost_analysis()["flops"]
    experiment, placement = sweep.experiment, sweep.placement
    in_line = turns * sweep.rows / placement.groups
    step_seconds = flops / placement.width / (EFFICIENCY * _matmul_rate())
    return Cost(
        seconds=in_line * experiment.steps * step_seconds, memory_bytes=sweep.step_bytes
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


def shape_of_states(experiment: Experiment) -> int:
    """Bytes of all members' states, refinement's too, by shape alone.

    Raises:
      ValueError: router, task and sizes do not fit each other.
    """
    loop = Loop(
        model=experiment.model,
        optimizer=make_optimizer(experiment.optimizer),
        warmup=experiment.optimizer.warmup,
        steps=experiment.chunk,
        batch=experiment.batch,
        spread=lambda function: function,
    )

    def one_member() -> TrainState:
        every = make_members(experiment, np.zeros(1, int))
        first = jax.tree.map(lambda rows: rows[0], every)
        return loop.init(first, experiment.task)

    leaves = jax.tree.leaves(jax.eval_shape(one_member))
    member = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)
    return member * experiment.most_members
