"""What a sweep measured, with who was collapsed when."""

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import Generic, Protocol, TypeVar

import numpy as np

from sweeps.design.grid import Grid, join_grids
from sweeps.inference.criterion import Criterion, Judge
from sweeps.inference.diagnosis import Diagnosis
from sweeps.inference.parts import part_outcomes
from sweeps.inference.refine import History
from sweeps.inference.snapshot import Snapshot, join_snapshots


class Subject(Protocol):
    """What was measured, as far as its results need it; `Experiment` says more."""

    @property
    def grid(self) -> Grid:
        """The members."""
        ...

    @property
    def kind(self) -> str:
        """Kind of geometry of the measured slot."""
        ...

    @property
    def criterion(self) -> Criterion:
        """Definition of "collapsed"."""
        ...

    @property
    def fixed(self) -> dict[str, float]:
        """Value of every knob that is not swept, named by slot."""
        ...

    @property
    def steps(self) -> int:
        """Number of training steps of every member."""
        ...

    @property
    def diagnosed(self) -> int:
        """Number of sequences that got the full signature."""
        ...


S = TypeVar("S", bound=Subject)


@dataclasses.dataclass(frozen=True)
class Results(Generic[S]):
    """The measurements of a sweep, or of one wave of it.

    Attributes:
      experiment: The experiment that was measured.
      snapshots: One measurement for each measured step, step 0 first.
      diagnosis: The full signature at the end; None if none was taken.
      refinement: The history of the axis's refinement; None without refinement.
    """

    experiment: S
    snapshots: tuple[Snapshot, ...]
    diagnosis: Diagnosis | None = None
    refinement: History | None = None

    @property
    def start(self) -> Snapshot:
        """The measurement at step 0."""
        return self.snapshots[0]

    @property
    def final(self) -> Snapshot:
        """The last measurement."""
        return self.snapshots[-1]

    @property
    def steps(self) -> list[int]:
        """Measured steps."""
        return [snapshot.step for snapshot in self.snapshots]

    @property
    def judge(self) -> Judge:
        """Decides which members are collapsed, now that training is over."""
        experiment = self.experiment
        return Judge(
            experiment.criterion, self.start, experiment.grid.value, self.final
        )

    @cached_property
    def outcomes(self) -> dict[str, np.ndarray]:
        """Which members showed each part when, bool ``[measurements, M]``."""
        judge = self.judge
        courses = [part_outcomes(judge, snapshot) for snapshot in self.snapshots]
        return {part: np.stack([now[part] for now in courses]) for part in courses[0]}

    def onset_steps(self, part: str) -> np.ndarray:
        """First measured step at which each member shows a part, NaN if at none."""
        course = self.outcomes[part]
        first = np.asarray(self.steps, float)[course.argmax(0)]
        return np.where(course.any(0), first, np.nan)

    def outcome_by_unit(self, outcome: np.ndarray | None = None) -> np.ndarray:
        """Final outcomes ``[units, values]``: 1, 0, or NaN for diverged members.

        Args:
          outcome: bool ``[M]``; by default, which members are collapsed at the last
            step.
        """
        grid = self.experiment.grid
        if outcome is None:
            outcome = self.judge.collapsed(self.final)
        table = np.full((grid.unit.max() + 1, len(grid.axis.values)), np.nan)
        table[grid.unit, grid.value] = np.where(
            self.final.alive, outcome.astype(float), np.nan
        )
        return table


def join_results(waves: Sequence[Results]) -> Results:
    """Joins the results of the waves of one sweep, members in this order.

    All members of one value are in the same wave, so each is judged by the nulls of
    its own value just as it was there.
    """
    grid = join_grids([wave.experiment.grid for wave in waves])
    return Results(
        dataclasses.replace(waves[0].experiment, grid=grid),
        tuple(
            join_snapshots(parts)
            for parts in zip(*(wave.snapshots for wave in waves), strict=True)
        ),
    )


def quartiles(values: np.ndarray) -> dict[str, float | None]:
    """Median and quartiles over the finite values, None where there are none."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return {"median": None, "low": None, "high": None}
    low, median, high = np.quantile(finite, (0.25, 0.5, 0.75))
    return {"median": float(median), "low": float(low), "high": float(high)}
