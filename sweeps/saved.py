"""A finished sweep in Python: its table, its findings and its trained members.

    import sweeps

    run = sweeps.load("runs/attention")
    run.table.to_pandas()                     # every measure, one number a row
    member = run.member(brake=0.03, seed=2)   # one trained network
    inputs, targets = run.held_out            # what it was measured on
    weights = member.routing(inputs)          # [L, B, H, T, S]

Opening a sweep reads no checkpoint; parameters are read when they are first used.
"""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ml_collections import ConfigDict

from routers.base import Array, Geometry
from sweeps.design.experiment import Experiment, build_experiment
from sweeps.design.grid import Grid
from sweeps.engine.inputs import held_out, make_members, take_row
from sweeps.errors import BadInput
from sweeps.inference.onset import Onset
from sweeps.report.parts import format_onset
from sweeps.storage.files import CHECKPOINT, METRICS
from sweeps.storage.workdir import read_manifest, read_summary
from train.backbone import Backbone, cross_entropy
from train.checkpoint import load_part

NEAR = 0.01
"""Relative distance up to which a value is that of the axis, which has four digits."""


def load(workdir: str | Path) -> "SavedSweep":
    """Opens a finished sweep.

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


@dataclasses.dataclass(frozen=True, repr=False)
class SavedSweep:
    """A finished sweep.

    Attributes:
      workdir: Its work directory.
      manifest: Content of ``manifest.json``: config, versions, device, members, times.
      findings: Content of ``onset.json``, see docs/onset_schema.md.
    """

    workdir: Path
    manifest: dict[str, Any]
    findings: dict[str, Any]

    def __repr__(self) -> str:
        axis = self.experiment.grid.axis
        values = f"{axis.values[0]:g} to {axis.values[-1]:g}"
        return (
            f"SavedSweep({str(self.workdir)!r}: {self.findings['router']}, "
            f"{len(axis.values)} values of {axis.knob} from {values} × "
            f"{self.experiment.units} seeds; onset: "
            f"{format_onset(self.findings['onset'])})"
        )

    @functools.cached_property
    def table(self) -> pa.Table:
        """All measures, one number a row (docs/measures.md); memory-mapped."""
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
          BadInput: this version of Onset, or this machine, cannot build it.
        """
        return build_experiment(ConfigDict(self.manifest["config"]))

    @functools.cached_property
    def held_out(self) -> tuple[Array, Array]:
        """Inputs ``[E, T, ...]`` and targets int32 ``[E, T]`` of every measurement."""
        return held_out(self.experiment)

    @functools.cached_property
    def grid(self) -> Grid:
        """Value and seeds of every member, with those that refinement added."""
        grid, rows = self.experiment.grid, self.manifest["members"]
        values = np.asarray([row[grid.axis.knob] for row in rows])
        axis = dataclasses.replace(grid.axis, values=tuple(np.unique(values).tolist()))
        seeds = {
            name: np.asarray([row[name] for row in rows])
            for name in ("init_seed", "data_seed", "round")
        }
        return Grid(axis, np.searchsorted(axis.values, values), **seeds)

    @functools.cached_property
    def params(self) -> Any:
        """Final parameters of all members, a tree of NumPy arrays ``[M, ...]``."""
        return load_part(self.workdir / CHECKPOINT, ("states", "params"))

    def member(self, seed: int = 0, data_seed: int = 0, **value: float) -> "Member":
        """One trained member.

        Args:
          seed: Seed of its initial parameters.
          data_seed: Number of its data stream.
          **value: Value of the swept knob, by the knob's name (``brake=0.1``).

        Raises:
          BadInput: there is no such member; the message says which there are.
        """
        if not value and len(self.grid.axis.values) > 1:
            raise BadInput(
                f"{self.grid.axis.knob}: needs a value, one of {self._values}"
            )
        chosen = self._members(value, seed, data_seed)
        rows = np.flatnonzero(chosen)
        if len(rows) != 1:
            seeds = sorted(set(self.grid.init_seed.tolist()))
            raise BadInput(
                f"seed={seed}, data_seed={data_seed}: must be one of "
                f"{seeds[0]} to {seeds[-1]}, and below {self.grid.data_seed.max() + 1}"
            )
        (one,) = self._select(rows)
        return one

    def members(self, **value: float) -> list["Member"]:
        """All members, or those at one value of the swept knob (``brake=0.1``)."""
        return self._select(np.flatnonzero(self._members(value)))

    def _members(
        self,
        value: Mapping[str, float],
        seed: int | None = None,
        data_seed: int | None = None,
    ) -> np.ndarray:
        grid = self.grid
        chosen = np.ones(grid.members, bool)
        for name, wanted in value.items():
            if name not in (grid.axis.knob, grid.axis.knob.split(".")[-1]):
                raise BadInput(f"{name}: the swept knob is {grid.axis.knob}")
            near = np.isclose(grid.axis.values, wanted, rtol=NEAR, atol=0)
            if not near.any():
                raise BadInput(f"{name}={wanted}: must be one of {self._values}")
            gaps = np.abs(np.asarray(grid.axis.values) - wanted)
            chosen &= grid.value == int(np.argmin(gaps))
        if seed is not None:
            chosen &= (grid.init_seed == seed) & (grid.data_seed == data_seed)
        return chosen

    @property
    def _values(self) -> str:
        return ", ".join(f"{one:g}" for one in self.grid.axis.values)

    def _select(self, rows: np.ndarray) -> list["Member"]:
        experiment = self.experiment
        knobs = make_members(experiment, self.grid, rows).knobs
        plain = jax.tree.map(np.asarray, knobs)
        return [
            Member(
                model=experiment.spec.model,
                slot=experiment.spec.slot,
                geometry=experiment.task.geometry(),
                knobs=take_row(plain, place),
                params=take_row(self.params, row),
                seeds=(int(self.grid.init_seed[row]), int(self.grid.data_seed[row])),
            )
            for place, row in enumerate(rows)
        ]


@dataclasses.dataclass(frozen=True, repr=False)
class Member:
    """One trained network with its knobs.

    Attributes:
      model: The network, a Linen module.
      slot: Slot whose routers were measured.
      geometry: Positions of one sequence or graph.
      knobs: Value of every knob, named by slot, float32 scalars.
      params: Final parameters, a tree of NumPy arrays.
      seeds: Seed of the initial parameters and number of the data stream.
    """

    model: Backbone
    slot: str
    geometry: Geometry
    knobs: dict[str, np.ndarray]
    params: Any
    seeds: tuple[int, int]

    def __repr__(self) -> str:
        knobs = ", ".join(f"{name}={value:g}" for name, value in self.knobs.items())
        sizes = [leaf.size for leaf in jax.tree.leaves(self.params)]
        return f"Member({knobs}, seeds={self.seeds}, {sum(sizes):,} parameters)"

    def apply(self, inputs: Array) -> Array:
        """Logits float32 ``[B, T, V]`` for inputs ``[B, T, ...]``."""
        return _forward(self.model, self.slot, *self._traced(), inputs)[0]

    def routing(self, inputs: Array) -> Array:
        """Routing weights ``[L, B, H, T, S]`` for inputs ``[B, T, ...]``."""
        return _forward(self.model, self.slot, *self._traced(), inputs)[1]

    def loss(self, inputs: Array, targets: Array) -> Array:
        """Mean cross-entropy in nats over the known targets ``[B, T]``."""
        return cross_entropy(self.apply(inputs), jnp.asarray(targets))

    def _traced(self) -> tuple[Any, Any, Geometry]:
        return self.params, self.knobs, self.geometry


@functools.partial(jax.jit, static_argnums=(0, 1))
def _forward(
    model: Backbone,
    slot: str,
    params: Any,
    knobs: Any,
    geometry: Geometry,
    inputs: Array,
) -> tuple[Array, Array]:
    """Logits, and the weights of every use of the slot's routers."""
    outputs: Any = model.apply({"params": params}, inputs, geometry, knobs)
    logits, slots, _ = outputs
    _, traces = slots[slot]
    return logits, jnp.stack([trace.routing.weights for trace in traces])
