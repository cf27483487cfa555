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
from sweeps.findings.results import join_results
from sweeps.inference.onset import Onset, estimate_onset
from sweeps.inference.refine import (
    History,
    Round,
    next_values,
    stop_reason,
    undecided_stretch,
)
from sweeps.storage.journal import Journal


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

    def train(earlier: list[Trained], grid: Grid) -> Trained:
        before = sum(one.results.experiment.grid.members for one in earlier)
        return train_wave(compiled, Wave(len(earlier), grid, before), observe, journal)

    waves: list[Trained] = []
    for grid in split_grid(experiment.grid, experiment.wave_values):
        waves = [*waves, train(waves, grid)]
    if experiment.refinement.rounds:
        return _refine(experiment, waves, train)
    return join_waves(waves)


def join_waves(waves: list[Trained]) -> Trained:
    """All members of some waves, in the order in which they were trained."""
    return Trained(
        results=join_results([wave.results for wave in waves]),
        states=jax.tree.map(
            lambda *rows: np.concatenate(rows), *(wave.states for wave in waves)
        ),
    )


def _refine(
    experiment: Experiment,
    waves: list[Trained],
    train: Callable[[list[Trained], Grid], Trained],
) -> Trained:
    """Trains more waves until there is reason to stop; returns all members."""
    settings, first = experiment.refinement, experiment.grid
    seeds = int(first.init_seed.max()) + 1, int(first.data_seed.max()) + 1
    rounds: list[Round] = []
    grid = first
    while True:
        results = join_results([wave.results for wave in waves])
        values = np.asarray(results.experiment.grid.axis.values)
        onset = estimate_onset(values, results.outcome_by_unit())
        rounds.append(_record(len(rounds), grid, onset))
        stopped = stop_reason(onset, values, settings.width)
        if stopped is None and len(rounds) > settings.rounds:
            stopped = "rounds"
        if stopped is not None:
            stretch = undecided_stretch(onset, values)
            history = History(tuple(rounds), stopped, stretch)
            trained = join_waves(waves)
            return dataclasses.replace(
                trained,
                results=dataclasses.replace(trained.results, refinement=history),
            )
        new = next_values(onset, values, settings.num)
        grid = make_grid(Axis(first.axis.knob, new), *seeds, round=len(rounds))
        waves = [*waves, train(waves, grid)]


def _record(number: int, grid: Grid, onset: Onset) -> Round:
    return Round(number, grid.axis.values, grid.members, onset.low, onset.high)
