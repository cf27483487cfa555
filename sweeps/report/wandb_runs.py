"""Reports a sweep to Weights & Biases, or nowhere, through one thin interface.

There is one run per member (`job_type` is the router; runs are grouped by sweep), and
one *curve* run whose step metric is the knob itself, so that W&B's own line plots
overlay the onset curves of several sweeps. The work directory is the record of the
sweep; W&B only mirrors it.
"""

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import wandb
from ml_collections import ConfigDict

from sweeps.design.experiment import Experiment, router_name
from sweeps.design.grid import Grid
from sweeps.inference.criterion import Snapshot

CURVE = "curve"
"""Name and job type of the run for the whole sweep."""
PART_MEASURES = ("rank_ratio", "hub_key_log_ratio", "hub_value_log_ratio")
"""Measures of the other two parts of the signature, as ``onset.json`` calls them."""
MOST_MEMBER_RUNS = 256
"""Maximum number of member runs; larger sweeps have the curve run alone.

Each run costs 16 ms and three file descriptors.
"""


class Tracker(Protocol):
    """Where a sweep reports to while it runs."""

    def begin(self, grid: Grid) -> None:
        """Announces the members of the wave that is trained next."""
        ...

    def log(self, snapshot: Snapshot, collapsed: np.ndarray) -> None:
        """Reports one measurement of the members of the present wave."""
        ...

    def finish(self, summary: dict[str, Any], figures: list[Path]) -> None:
        """Reports the result and closes all runs."""
        ...

    def ids(self) -> dict[str, Any]:
        """What the manifest records in order to find the runs again."""
        ...


class NoTracker:
    """Reports nowhere."""

    def begin(self, grid: Grid) -> None:
        """Does nothing."""

    def log(self, snapshot: Snapshot, collapsed: np.ndarray) -> None:
        """Does nothing."""

    def finish(self, summary: dict[str, Any], figures: list[Path]) -> None:
        """Does nothing."""

    def ids(self) -> dict[str, Any]:
        """The mode alone; there are no runs."""
        return {"mode": "disabled"}


@dataclasses.dataclass(frozen=True)
class _Names:
    sweep: str
    project: str
    entity: str | None
    mode: Any
    directory: Path


class WandbTracker:
    """Mirrors a sweep to Weights & Biases, online or into ``workdir/wandb``."""

    def __init__(self, names: _Names, config: ConfigDict, experiment: Experiment):
        """Opens the curve run; each wave opens the runs of its members."""
        self._names, self._config = names, config.to_dict()
        self._experiment, self._router = experiment, router_name(config)
        self._curve = self._open(CURVE, CURVE, self._config)
        knob = experiment.grid.axis.knob
        self._curve.define_metric(knob)
        self._curve.define_metric("onset/*", step_metric=knob)
        self._few = experiment.most_members <= MOST_MEMBER_RUNS
        self._members: list[Any] = []
        self._training: list[Any] = []

    def begin(self, grid: Grid) -> None:
        """Opens one run per member, unless the sweep exceeds `MOST_MEMBER_RUNS`."""
        self._training = [
            self._open_member(grid, m) for m in range(grid.members * self._few)
        ]

    def _open(self, name: str, job_type: str, config: dict[str, Any]) -> Any:
        names = self._names
        return wandb.init(
            project=names.project,
            entity=names.entity,
            dir=str(names.directory),
            id=f"{names.sweep}-{name}",
            name=name,
            group=names.sweep,
            job_type=job_type,
            mode=names.mode,
            config=config,
            reinit="create_new",
            # A new object for each run, because init writes into its argument.
            settings=wandb.Settings(
                silent=True,
                console="off",
                save_code=False,
                disable_git=True,
                x_disable_stats=True,
                x_disable_meta=True,
                # For the curve run alone: listing packages takes 80 ms per run.
                x_save_requirements=job_type == CURVE,
            ),
        )

    def _open_member(self, grid: Grid, member: int) -> Any:
        own = {
            **self._experiment.fixed,
            grid.axis.knob: float(grid.swept[member]),
            "init_seed": int(grid.init_seed[member]),
            "data_seed": int(grid.data_seed[member]),
        }
        name = f"member-{len(self._members):04d}"
        run = self._open(name, self._router, self._config | own)
        run.define_metric("opt_step")
        run.define_metric("*", step_metric="opt_step")
        self._members.append(run)
        return run

    def log(self, snapshot: Snapshot, collapsed: np.ndarray) -> None:
        """Logs the numbers of every member against its optimiser steps."""
        for member, run in enumerate(self._training):
            numbers = {k: v[member, 0] for k, v in snapshot.model.items()}
            numbers["loss/train"] = snapshot.train_loss[member]
            known = {k: float(v) for k, v in numbers.items() if np.isfinite(v)}
            run.log(
                known
                | {
                    "opt_step": snapshot.step,
                    "outcome/collapsed": int(collapsed[member]),
                    "outcome/diverged_step": int(snapshot.diverged[member]),
                }
            )

    def finish(self, summary: dict[str, Any], figures: list[Path]) -> None:
        """Logs the onset curve against the knob and all figures; closes all runs."""
        for point in summary["curve"]:
            self._curve.log({summary["knob"]: point["value"], **curve_metrics(point)})
        for name, value in summary["onset"].items():
            self._curve.summary[f"critical/{name}"] = value
        self._curve.log({p.stem: wandb.Image(str(p)) for p in figures})
        for run in [*self._members, self._curve]:
            run.finish()

    def ids(self) -> dict[str, Any]:
        """Mode, project, group and run ids."""
        return {
            "mode": self._names.mode,
            "project": self._names.project,
            "group": self._names.sweep,
            "curve": self._curve.id,
            "members": [run.id for run in self._members],
        }


class SafeTracker:
    """A tracker whose first failure is one warning, after which it does nothing."""

    def __init__(self, opening: Callable[[], Tracker], warn: Callable[[str], None]):
        """Opens a tracker.

        Args:
          opening: Opens it.
          warn: Called with one line if opening or using it fails.
        """
        self._warn = warn
        self._tracker: Tracker = NoTracker()
        self._tracker = self._attempt(opening) or NoTracker()

    def begin(self, grid: Grid) -> None:
        """As the tracker itself."""
        self._attempt(lambda: self._tracker.begin(grid))

    def log(self, snapshot: Snapshot, collapsed: np.ndarray) -> None:
        """As the tracker itself."""
        self._attempt(lambda: self._tracker.log(snapshot, collapsed))

    def finish(self, summary: dict[str, Any], figures: list[Path]) -> None:
        """As the tracker itself."""
        self._attempt(lambda: self._tracker.finish(summary, figures))

    def ids(self) -> dict[str, Any]:
        """As the tracker itself."""
        return self._attempt(self._tracker.ids) or NoTracker().ids()

    def _attempt(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        # Networks, services and files below this library raise anything.
        except Exception as error:
            self._tracker = NoTracker()
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            self._warn(f"Weights & Biases is not used any more: {said[:160]}")
        return None


def curve_metrics(point: dict[str, Any]) -> dict[str, float]:
    """One point of ``onset.json``'s curve as flat ``onset/…`` metrics."""
    alive = point["members"] - point["diverged"]
    metrics = {
        "onset/collapse_fraction": point["collapsed"] / alive if alive else None,
        "onset/collapse_fraction_low": point["fraction"]["low"],
        "onset/collapse_fraction_high": point["fraction"]["high"],
        "onset/diverged": point["diverged"],
        "onset/step": point["parts"]["concentration"]["onset_step"]["median"],
    }
    for name in ("concentration", "hub_mass", "loss", *PART_MEASURES):
        for statistic, value in point.get(name, {}).items():
            if statistic != "nulls":
                metrics[f"onset/{name}_{statistic}"] = value
    for null, values in point["nulls"].items():
        metrics[f"onset/null_{null}_high"] = values["high"]
    return {name: float(v) for name, v in metrics.items() if v is not None}


def open_tracker(
    config: ConfigDict,
    experiment: Experiment,
    workdir: Path,
    fingerprint: str,
    first: bool,
    warn: Callable[[str], None],
) -> Tracker:
    """Opens the tracker that the config asks for; its first failure is one warning.

    Args:
      config: The whole config; ``wandb`` is read, and all of it is logged.
      experiment: The sweep.
      workdir: Work directory; offline runs are written to ``workdir/wandb``.
      fingerprint: Fingerprint of the sweep; run ids contain it and a hash of the
        path of the work directory.
      first: Whether this is the first process; the others report nowhere.
      warn: Called with one line if opening or using the tracker fails.
    """
    if not first:
        return NoTracker()
    return SafeTracker(lambda: _open(config, experiment, workdir, fingerprint), warn)


def _open(
    config: ConfigDict, experiment: Experiment, workdir: Path, fingerprint: str
) -> Tracker:
    mode = config.wandb.mode
    if mode == "auto":
        mode = os.environ.get("WANDB_MODE") or ("online" if _has_key() else "offline")
    if mode == "disabled":
        return NoTracker()
    os.environ.setdefault("WANDB_SILENT", "true")
    if mode == "offline":
        # Left by an interrupted sweep; everything is logged again from its record.
        shutil.rmtree(workdir / "wandb", ignore_errors=True)
    place = hashlib.sha256(str(workdir.absolute()).encode()).hexdigest()[:6]
    names = _Names(
        sweep=f"{router_name(config)}-{fingerprint[:8]}-{place}",
        project=config.wandb.project,
        entity=config.wandb.entity or None,
        mode=mode,
        directory=workdir,
    )
    return WandbTracker(names, config, experiment)


def _has_key() -> bool:
    # This looks in the environment, the settings and netrc, without a prompt.
    return bool(wandb.login(prompt=False))
