"""A whole sweep, wave by wave: its grid first, then values that refine the onset.

Every wave trains the members of a few values, all seeds of each, with the programs
that were compiled for the first one. A program takes one fixed number of rows, so all
waves have the same size; the last one of the grid is padded. Without refinement there
is one wave. Members are numbered in the order of training, and a number never changes.
"""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np

from sweeps.design.experiment import Experiment
from sweeps.design.grid import Axis, Grid, Wave, make_grid, split_grid
from sweeps.engine.programs import CompiledSweep
from sweeps.engine.train import Observer, Trained, train_wave
from sweeps.findings.results import Results, join_results
from sweeps.inference.onset import Onset, estimate_onset
from sweeps.inference.refine import (
    History,
    Round,
    next_values,
    stop_reason,
    undecided_stretch,
)
from sweeps.storage.journal import Journal
from train.step import TrainState


def train_sweep(
    compiled: CompiledSweep, observe: Observer, journal: Journal | None = None
) -> Trained:
    """Trains the first grid, then round after round until there is reason to stop.

    Args:
      compiled: The sweep.
      observe: Called with every snapshot of every wave, step 0 first.
      journal: Record of this sweep; what it holds is not trained again.
    """
    experiment = compiled.experiment

    def train_next(done: list[Trained], grid: Grid) -> list[Trained]:
        earlier = sum(wave.results.experiment.grid.members for wave in done)
        wave = Wave(len(done), grid, earlier)
        return [*done, train_wave(compiled, wave, observe, journal)]

    waves: list[Trained] = []
    for grid in split_grid(experiment.grid, experiment.wave_values):
        waves = train_next(waves, grid)
    if experiment.refinement.rounds:
        return _refine(experiment, waves, train_next)
    return Trained(_join(waves), _join_states(waves))


def _join(waves: list[Trained]) -> Results:
    """The results of some waves, in the order in which they were trained."""
    return join_results([wave.results for wave in waves])


def _join_states(waves: list[Trained]) -> TrainState:
    """The states of some waves, in the order in which they were trained."""
    return jax.tree.map(
        lambda *rows: np.concatenate(rows), *(wave.states for wave in waves)
    )


def _refine(
    experiment: Experiment,
    waves: list[Trained],
    train_next: Callable[[list[Trained], Grid], list[Trained]],
) -> Trained:
    """Trains more waves until there is reason to stop; returns all members."""
    settings, first = experiment.refinement, experiment.grid
    seeds = int(first.init_seed.max()) + 1, int(first.data_seed.max()) + 1
    rounds: list[Round] = []
    grid = first
    while True:
        results = _join(waves)
        values = np.asarray(results.experiment.grid.axis.values)
        onset = estimate_onset(values, results.outcome_by_unit())
        rounds.append(_record(len(rounds), grid, onset))
        stopped = stop_reason(onset, values, settings.width)
        if stopped is None and len(rounds) > settings.rounds:
            stopped = "rounds"
        if stopped is not None:
            stretch = undecided_stretch(onset, values)
            history = History(tuple(rounds), stopped, stretch)
            results = dataclasses.replace(results, refinement=history)
            return Trained(results, _join_states(waves))
        new = next_values(onset, values, settings.num)
        grid = make_grid(Axis(first.axis.knob, new), *seeds, round=len(rounds))
        waves = train_next(waves, grid)


def _record(number: int, grid: Grid, onset: Onset) -> Round:
    return Round(number, grid.axis.values, grid.members, onset.low, onset.high)
