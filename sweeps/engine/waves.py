"""A whole sweep in turns: its first grid, then values that refine the onset.

Every turn trains the members of a few values, all seeds of each, with the programs
that were compiled for the first: a program fits one number of rows, so all turns have
the same, the last of the grid padded. Without refinement there is one turn. Members
are numbered in the order of training, and a number never changes.
"""

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import numpy as np

from sweeps.design.experiment import Experiment
from sweeps.design.grid import Axis, Grid, make_grid, split_grid
from sweeps.engine.diagnose import variants_of
from sweeps.engine.programs import make_members
from sweeps.engine.train import Sweep, prepare, refill, run
from sweeps.findings.results import Results, join_results
from sweeps.inference.criterion import Snapshot
from sweeps.inference.onset import Onset, estimate_onset
from sweeps.inference.refine import Course, Round, floor, next_values, stop_reason
from sweeps.runtime.placement import Placement
from sweeps.runtime.processes import to_host
from sweeps.storage.journal import Journal
from train.step import TrainState

Observer = Callable[[Grid, Snapshot, np.ndarray], None]
"""Called with the members in training, a snapshot of them, and who is collapsed."""


def prepare_turns(experiment: Experiment, placement: Placement) -> Sweep:
    """Compiles programs for one turn of a sweep."""
    first = split_grid(experiment.grid, experiment.turn)[0]
    # Of the whole: the neutral value need not be in the first turn.
    variants = variants_of(experiment)[0] if experiment.diagnosed else ()
    return prepare(
        dataclasses.replace(experiment, grid=first),
        placement,
        experiment.turn * experiment.units,
        variants,
    )


def train(
    experiment: Experiment,
    prepared: Sweep,
    observe: Observer,
    journal: Journal | None = None,
) -> tuple[Sweep, Results]:
    """Trains the first grid, then round after round until there is reason to stop.

    Args:
      experiment: the whole.
      prepared: for one turn of it, by `prepare_turns`.
      observe: called with every snapshot of every turn, step 0 first.
      journal: of this sweep; what it holds is not trained again.

    Returns:
      The programs with the final states of all members, on the host, and the results.
    """
    finished: list[TrainState] = []
    turns: list[Results] = []

    def train_turn(grid: Grid) -> None:
        sweep = refill(prepared, grid)
        turns.append(run(sweep, partial(observe, grid), journal, len(turns)))
        states = to_host(sweep.states)
        finished.append(jax.tree.map(lambda leaf: leaf[: grid.members], states))

    for grid in split_grid(experiment.grid, experiment.turn):
        train_turn(grid)
    results = join_results(turns)
    if experiment.refinement.rounds:
        results = _refine(experiment, turns, train_turn)
    every = results.experiment
    return (
        dataclasses.replace(
            prepared,
            experiment=every,
            members=make_members(every, np.arange(every.grid.members)),
            states=jax.tree.map(lambda *rows: np.concatenate(rows), *finished),
        ),
        results,
    )


def _refine(
    experiment: Experiment, turns: list[Results], train_turn: Callable[[Grid], None]
) -> Results:
    """Adds turns until there is reason to stop; returns the results of all."""
    settings, first = experiment.refinement, experiment.grid
    seeds = int(first.init_seed.max()) + 1, int(first.data_seed.max()) + 1
    rounds: list[Round] = []
    grid = first
    while True:
        results = join_results(turns)
        values = np.asarray(results.experiment.grid.axis.values)
        onset = estimate_onset(values, results.outcome_by_unit())
        rounds.append(_record(len(rounds), grid, onset))
        stopped = stop_reason(onset, values, settings.width)
        if stopped is None and len(rounds) > settings.rounds:
            stopped = "rounds"
        if stopped is not None:
            results.refinement = Course(tuple(rounds), stopped, floor(onset, values))
            return results
        new = next_values(onset, values, settings.num)
        grid = make_grid(Axis(first.axis.knob, new), *seeds, round=len(rounds))
        train_turn(grid)


def _record(number: int, grid: Grid, onset: Onset) -> Round:
    return Round(number, grid.axis.values, grid.members, onset.low, onset.high)
