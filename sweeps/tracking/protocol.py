"""What a sweep tells its tracker, and what the tracker was told to do.

The process of W&B imports this module, so it imports nothing slow.
"""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np

    from sweeps.design.grid import Grid
    from sweeps.findings.results import Results
    from sweeps.inference.snapshot import Snapshot

CURVE = "curve"
"""Name and job type of the run for the whole sweep."""
MOST_MEMBER_RUNS = 256
"""Largest number of members with a run each; those of larger sweeps are one table.

Each run costs 40 ms of one core (docs/wandb.md) and four file descriptors.
"""


class Tracked(Protocol):
    """What is tracked: a sweep, or the measurement of a published model."""

    @property
    def grid(self) -> "Grid":
        """Its members."""
        ...

    @property
    def fixed(self) -> dict[str, float]:
        """Value of every knob that is not swept, named by slot."""
        ...

    @property
    def most_members(self) -> int:
        """Largest number of members that may have a run each."""
        ...


class Tracker(Protocol):
    """Where a sweep reports to while it runs."""

    def begin(self, grid: "Grid") -> None:
        """Announces the members of the wave that is trained next."""
        ...

    def log(self, snapshot: "Snapshot", collapsed: "np.ndarray") -> None:
        """Reports one measurement of the members of the present wave."""
        ...

    def ids(self) -> dict[str, Any]:
        """What the manifest records in order to find the runs again."""
        ...

    def finish(
        self, results: "Results", summary: dict[str, Any], figures: list[Path]
    ) -> None:
        """Reports the result and closes all runs."""
        ...


class NoTracker:
    """Reports nowhere."""

    def begin(self, grid: "Grid") -> None:
        """Does nothing."""

    def log(self, snapshot: "Snapshot", collapsed: "np.ndarray") -> None:
        """Does nothing."""

    def ids(self) -> dict[str, Any]:
        """The mode alone; there are no runs."""
        return {"mode": "disabled"}

    def finish(
        self, results: "Results", summary: dict[str, Any], figures: list[Path]
    ) -> None:
        """Does nothing."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """How a sweep is tracked.

    Attributes:
      mode: ``online``, ``offline``, or ``auto``: online if there is an API key.
      project: Project of all runs.
      entity: User or team that owns it; None for the user's default.
      directory: Folder in which W&B makes its folder ``wandb``.
      group: Name of the sweep, which groups its runs and begins their ids.
      router: Job type of the runs of members.
      knob: Name of the swept knob in W&B.
      config: The sweep's whole config.
      members: Largest number of members with a run each; 0 where they are one table.
      agent: Whether `wandb agent` has started this sweep as a trial of its own.
      keep: Whether the members' runs that are on disk already stay there.
    """

    mode: str
    project: str
    entity: str | None
    directory: str
    group: str
    router: str
    knob: str
    config: dict[str, Any]
    members: int
    agent: bool
    keep: bool = False

    @property
    def descriptors(self) -> int:
        """Descriptors that wandb-core opens: three a run, measured, and its own."""
        return 3 * self.members + 64
