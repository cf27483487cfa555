"""Trains one wave of members with compiled programs, and measures it on the way."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sweeps.design.grid import Wave
from sweeps.engine.inputs import make_members, row_blocks, step_number, take_rows
from sweeps.engine.programs import CompiledSweep
from sweeps.findings.results import Results
from sweeps.inference.criterion import Judge
from sweeps.inference.snapshot import Snapshot, summarize
from sweeps.runtime.placement import place, replicate
from sweeps.runtime.processes import to_host
from sweeps.storage.journal import Journal
from train.step import Member, TrainState

Observer = Callable[[Wave, Snapshot, np.ndarray], None]
"""Called with the wave in training, a snapshot of it, and which members collapsed."""


@dataclasses.dataclass(frozen=True)
class Trained:
    """Members after their last step.

    Attributes:
      results: Their measurements.
      states: Their final states as NumPy arrays, ``[M]``.
    """

    results: Results
    states: TrainState

    def checkpoint(self) -> dict[str, Any]:
        """The final states with what identifies their members, as a tree of arrays."""
        experiment = self.results.experiment
        grid = experiment.grid
        members = make_members(experiment, grid, np.arange(grid.members))
        return {
            "states": self.states,
            "knobs": jax.tree.map(np.asarray, members.knobs),
            "init_seed": grid.init_seed,
            "data_seed": grid.data_seed,
        }


def train_wave(
    compiled: CompiledSweep,
    wave: Wave,
    observe: Observer,
    journal: Journal | None = None,
) -> Trained:
    """Trains a wave to the end, measuring at step 0 and after every chunk.

    Args:
      compiled: The sweep, compiled for waves of at least as many members.
      wave: The members to train.
      observe: Called with every snapshot once it is in the journal, step 0 first;
        snapshots that were in the journal already are passed first.
      journal: Record of the sweep; the wave continues from what it holds.
    """
    experiment = dataclasses.replace(compiled.experiment, grid=wave.grid)
    programs, shared, mesh = compiled.programs, compiled.shared, compiled.mesh
    count = wave.grid.members
    (order,) = row_blocks(count, compiled.rows)
    members = place(mesh, make_members(experiment, wave.grid, order))
    states = programs.init(members, shared.task)
    snapshots: list[Snapshot] = []

    def take_up(snapshot: Snapshot) -> None:
        snapshots.append(snapshot)
        judge = Judge(experiment.criterion, snapshots[0], wave.grid.value)
        observe(wave, snapshot, judge.collapsed(snapshot))

    saved = journal.newest(wave.number, states) if journal else None
    if saved:
        states = saved.states
        for snapshot in saved.snapshots:
            take_up(snapshot)
    losses = np.full(count, np.nan)
    for point in range(len(snapshots), experiment.points + 1):
        if point:
            first = step_number(mesh, (point - 1) * experiment.spec.chunk)
            states, chunk_losses = programs.chunk(
                states, members, shared.task, shared.streams, first
            )
            losses = to_host(chunk_losses)[:count].mean(1)
        step = point * experiment.spec.chunk
        snapshot = summarize(
            step,
            _measure(compiled, members, states, step, count),
            losses,
            to_host(states.diverged)[:count],
        )
        if journal and step in experiment.kept_steps:
            journal.keep(wave.number, step, states.params)
        if journal:
            journal.add(wave.number, point, states, snapshot)
        take_up(snapshot)
    return Trained(
        results=Results(experiment, tuple(snapshots)),
        states=take_rows(to_host(states), slice(count)),
    )


def _measure(
    compiled: CompiledSweep,
    members: Member,
    states: TrainState,
    step: int,
    count: int,
) -> dict[str, Any]:
    """The measures of a wave's first ``count`` rows.

    The rank ratio of the brake alone costs as much as that of the network. It is taken
    at step 0 and at the last step, which stand for the steps in between
    (`sweeps.inference.criterion.Judge.null_bar`).
    """
    ends = step in (0, compiled.experiment.steps)
    rank_nulls = replicate(compiled.mesh, jnp.asarray(ends))
    measured = compiled.programs.measure(
        states, members, compiled.shared.task, compiled.shared.batch, rank_nulls
    )
    return {name: values[:count] for name, values in to_host(measured).items()}
