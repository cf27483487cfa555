"""A finished sweep, or a measured model, opened from its work directory."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ml_collections import ConfigDict

from routers.base import Array
from sweeps.design.experiment import Experiment, build_experiment
from sweeps.design.grid import Axis, Grid, split_grid
from sweeps.engine.inputs import held_out, make_members, take_rows
from sweeps.errors import BadInput
from sweeps.inference.onset import Onset
from sweeps.report.parts import format_onset
from sweeps.saved.checkpoints import final_params, kept_params, kept_steps
from sweeps.saved.members import Member, Members
from sweeps.storage.files import METRICS
from sweeps.storage.shape import SEED
from sweeps.storage.workdir import read_manifest, read_summary

NEAR = 0.01
"""Relative distance up to which a value is that of the axis, which has four digits."""


def load(workdir: str | Path) -> "SavedSweep":
    """Opens a finished sweep or a measured model.

    Args:
      workdir: Its work directory.

    Raises:
      BadInput: the directory holds no sweep, an unfinished one, or damaged results.
    """
    path = Path(workdir).expanduser()
    manifest = read_manifest(path)
    if not manifest["complete"]:
        raise BadInput(f"workdir={workdir}: the sweep is not complete")
    return SavedSweep(path, manifest, read_summary(path))


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class SavedSweep:
    """A finished sweep, or a measured model, which has windows in place of seeds.

    Attributes:
      workdir: Its work directory.
      manifest: Content of ``manifest.json``: config, versions, device, members, times.
      findings: Content of ``onset.json``, see docs/onset_schema.md.
    """

    workdir: Path
    manifest: dict[str, Any]
    findings: dict[str, Any]

    def __repr__(self) -> str:
        found = self.findings
        values = [point["value"] for point in self.curve]
        span = f" from {values[0]:g} to {values[-1]:g}" if len(values) > 1 else ""
        units = f"{found['onset']['units']} {found['unit']}s"
        return (
            f"SavedSweep({str(self.workdir)!r}: {found['router']}, {len(values)} "
            f"value{'s' * (len(values) > 1)} of {found['knob']}{span} × {units}; "
            f"onset: {format_onset(found['onset'])})"
        )

    @functools.cached_property
    def table(self) -> pa.Table:
        """All measures, one number a row (docs/measures.md); memory-mapped.

        Other libraries take it in one call: ``run.table.to_pandas()``,
        ``polars.from_arrow(run.table)``, ``duckdb.from_arrow(run.table)``.
        """
        return pq.read_table(self.workdir / METRICS, memory_map=True)

    @property
    def onset(self) -> Onset:
        """The onset of concentration, with its interval."""
        return Onset(**self.findings["onset"])

    @property
    def curve(self) -> list[dict[str, Any]]:
        """What was found at each value of the axis, in increasing order."""
        return self.findings["curve"]

    @functools.cached_property
    def experiment(self) -> Experiment:
        """The experiment that the config describes.

        Raises:
          BadInput: this version of Onset, or this machine, cannot build it, or a
            published model was measured and nothing was trained.
        """
        if not self._trained:
            raise BadInput(
                f"workdir={self.workdir}: holds a measured model "
                f"({self.findings['router']}), which has no members to open"
            )
        return build_experiment(ConfigDict(self.manifest["config"]))

    @functools.cached_property
    def held_out(self) -> tuple[Array, Array]:
        """Inputs ``[E, T, ...]`` and targets int32 ``[E, T]`` of every measurement."""
        return held_out(self.experiment)

    @functools.cached_property
    def grid(self) -> Grid:
        """Value and seeds of every member, with those that refinement added."""
        knob, rows = self.findings["knob"], self.manifest["members"]
        values = np.asarray([row[knob] for row in rows])
        axis = Axis(knob, tuple(np.unique(values).tolist()))
        seeds = {
            name: np.asarray([row[name] for row in rows])
            for name in ("init_seed", "data_seed", "round")
        }
        return Grid(axis, np.searchsorted(axis.values, values), **seeds)

    @functools.cached_property
    def params(self) -> Any:
        """Final parameters of all members, a tree of NumPy arrays ``[M, ...]``."""
        return final_params(self.workdir)

    @property
    def kept_steps(self) -> tuple[int, ...]:
        """Steps whose parameters are on disk, the last step included.

        There are none of a measured model.
        """
        last = (self.findings["steps"],) if self._trained else ()
        return (*kept_steps(self.workdir), *last)

    def params_at(self, step: int) -> Any:
        """As `params`, after so many training steps, one of `kept_steps`.

        Raises:
          BadInput: the parameters of this step were not kept, or are damaged.
        """
        if step == self.findings["steps"]:
            return self.params
        if step not in self.kept_steps:
            known = ", ".join(map(str, self.kept_steps))
            raise BadInput(
                f"step={step}: must be one of {known}; train.keep_every keeps more"
            )
        return self._kept(step)

    @functools.cached_property
    def _kept(self) -> Callable[[int], Any]:
        """Reads kept parameters; the step read last stays in memory."""
        experiment = self.experiment
        first = split_grid(experiment.grid, experiment.wave_values)
        refined = np.bincount(self.grid.round)[1:].tolist()
        waves = [*(grid.members for grid in first), *refined]
        read = functools.partial(kept_params, self.workdir, waves=waves)
        return functools.lru_cache(maxsize=1)(read)

    def member(
        self,
        seed: int = 0,
        data_seed: int = 0,
        step: int | None = None,
        **value: float,
    ) -> Member:
        """One trained member.

        Args:
          seed: Seed of its initial parameters.
          data_seed: Number of its data stream.
          step: Number of training steps, one of `kept_steps`; None for all of them.
          **value: Value of the swept knob, by the knob's name (``brake=0.1``).

        Raises:
          BadInput: there is no such member; the message says which there are.
        """
        knob = self.experiment.grid.axis.knob
        if not value and len(self.grid.axis.values) > 1:
            raise BadInput(f"{knob}: needs a value, one of {self._values}")
        chosen = self._members(value, seed, data_seed)
        rows = np.flatnonzero(chosen)
        if len(rows) != 1:
            seeds = sorted(set(self.grid.init_seed.tolist()))
            raise BadInput(
                f"seed={seed}, data_seed={data_seed}: must be one of "
                f"{seeds[0]} to {seeds[-1]}, and below {self.grid.data_seed.max() + 1}"
            )
        return self._select(rows, step)[0]

    def members(self, step: int | None = None, **value: float) -> Members:
        """All members, or those at one value of the swept knob (``brake=0.1``).

        Args:
          step: Number of training steps, one of `kept_steps`; None for all of them.
          **value: Value of the swept knob; none for all values.

        Raises:
          BadInput: there is no such value or step; the message says which there are.
        """
        return self._select(np.flatnonzero(self._members(value)), step)

    def _members(
        self,
        value: Mapping[str, float],
        seed: int | None = None,
        data_seed: int | None = None,
    ) -> np.ndarray:
        grid = self.grid
        chosen = np.ones(grid.members, bool)
        knob = self.experiment.grid.axis.knob  # a measured model has no experiment
        for name, wanted in value.items():
            if name not in (knob, knob.split(".")[-1]):
                raise BadInput(f"{name}: the swept knob is {knob}")
            near = np.isclose(grid.axis.values, wanted, rtol=NEAR, atol=0)
            if not near.any():
                raise BadInput(f"{name}={wanted}: must be one of {self._values}")
            gaps = np.abs(np.asarray(grid.axis.values) - wanted)
            chosen &= grid.value == int(np.argmin(gaps))
        if seed is not None:
            chosen &= (grid.init_seed == seed) & (grid.data_seed == data_seed)
        return chosen

    @property
    def _trained(self) -> bool:
        trained: bool = self.findings["unit"] == SEED
        return trained

    @property
    def _values(self) -> str:
        return ", ".join(f"{one:g}" for one in self.grid.axis.values)

    def _select(self, rows: np.ndarray, step: int | None) -> Members:
        experiment = self.experiment
        step = experiment.steps if step is None else step
        knobs = make_members(experiment, self.grid, rows).knobs
        return Members(
            model=experiment.spec.model,
            slot=experiment.spec.slot,
            geometry=experiment.task.geometry(),
            knobs=jax.tree.map(np.asarray, knobs),
            params=take_rows(self.params_at(step), rows),
            init_seed=self.grid.init_seed[rows],
            data_seed=self.grid.data_seed[rows],
            step=step,
            width=self.manifest["placement"]["width"],
        )
