"""The contestants of `onset bench --what=sweep`: same members, same training steps.

All contestants start from the same parameters. Onset's own draw their batches while
they run, as a sweep does; its peers receive the same batches beforehand.
"""

import copy
import dataclasses
import functools
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from routers.attention import Attention
from routers.graph_attention import GraphAttention
from routers.rwkv import RWKV4
from routers.selective_ssm import SelectiveSSM
from sweeps.design.experiment import Experiment, build_experiment
from sweeps.design.grid import Axis, make_grid
from sweeps.engine.inputs import data_streams, make_members, take_row
from sweeps.engine.programs import make_loop
from sweeps.engine.vmap_width import compile_chunk
from sweeps.runtime.placement import Placement, cores, make_mesh
from train.step import TrainState, draw_batches, train_step

WIDTHS = (4, 16)
"""Members at once on each device that are timed besides those of the sweep."""
ONSET = "Onset as swept"
BASE = "PyTorch eager, one by one"
LIBRARIES = {
    RWKV4: "transformers",
    SelectiveSSM: "transformers",
    GraphAttention: "torch_geometric",
}
"""Library of the published layer that is the peer of a router.

These layers have no brake; the peer of `Attention` has one.
"""
BRAKE = "token.brake"
FUNCTIONAL = {
    "PyTorch vmap": {"stacked": True, "compiled": False},
    "torch.compile, one by one": {"stacked": False, "compiled": True},
    "torch.compile of vmap": {"stacked": True, "compiled": True},
}


class Trainer(Protocol):
    """A compiled program together with the states of its members."""

    def train(self) -> Any:
        """Trains all members for one chunk and waits; returns losses ``[M, steps]``."""
        ...


@dataclasses.dataclass(frozen=True)
class Start:
    """Common starting point of all contestants, as NumPy arrays.

    Attributes:
      states: Initial states of all members, ``[M]``.
      batches: Inputs and targets of the chunk, ``[steps, B, ...]``.
    """

    states: TrainState
    batches: tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Contestant:
    """A way to train the members: one row of the table.

    Attributes:
      name: Name of the row.
      load: Function that imports what it needs, so that imports are not measured.
      build: Function from the common starting point to a trainer.
      missing: Why it cannot run here; empty if it can.
    """

    name: str
    load: Callable[[], None]
    build: Callable[[Start], Trainer]
    missing: str = ""


def one_value(config: ConfigDict, members: int, steps: int) -> ConfigDict:
    """The config of members that differ only in their seeds, for one chunk.

    All have the smallest value of the swept knob, because time does not depend on it;
    `build_timed` changes the value if the peer supports only one.
    """
    config = copy.deepcopy(config)
    sweep = config.sweep
    sweep.update(seeds=members, data_seeds=1, num=1, high=sweep.low, zero=False)
    sweep.refine.rounds = 0
    config.train.update(steps=steps, warmup=0)
    config.eval.points = 1
    return config


def build_timed(config: ConfigDict) -> Experiment:
    """Builds the experiment of a config with one value, see `one_value`.

    If the peer is a published layer, members have the value at which the router equals
    that layer. This may be 0, which a config cannot have as its only value.
    """
    experiment = build_experiment(config)
    grid, (router, _) = experiment.grid, experiment.routers["token"]
    if router in LIBRARIES and grid.axis.knob == BRAKE:
        axis = Axis(BRAKE, (router.knobs["brake"].neutral,))
        grid = make_grid(axis, config.sweep.seeds, config.sweep.data_seeds)
    return dataclasses.replace(experiment, grid=grid)


def draw_start(experiment: Experiment) -> Start:
    """Draws the initial states and the first batches that a sweep would have."""
    placement = Placement(1, 1)
    loop = make_loop(experiment, placement, make_mesh(placement))
    members = make_members(
        experiment, experiment.grid, np.arange(experiment.grid.members)
    )
    streams = data_streams(experiment)
    draw = jax.jit(draw_batches, static_argnums=(3, 4))
    batches = draw(experiment.task, streams, 0, experiment.steps, experiment.spec.batch)
    states = jax.jit(loop.init)(members, experiment.task)
    inputs, targets = (np.asarray(part[0]) for part in batches)
    return Start(jax.tree.map(np.asarray, states), (inputs, targets))


def list_contestants(experiment: Experiment, planned: Placement) -> list[Contestant]:
    """Lists all contestants, the sweep's own program first.

    Args:
      experiment: Experiment whose members are trained, on one data stream.
      planned: Placement that a sweep would have.
    """
    rows = [
        Contestant(name, _nothing, functools.partial(_chunk, experiment, placement))
        for name, placement in placements(experiment.grid.members, planned)
    ]
    plain = functools.partial(PlainLoop, experiment)
    rows.append(Contestant("plain JAX step, one by one", _nothing, plain))
    missing = why_no_peer(experiment)
    eager = functools.partial(_torch, experiment, None)
    load = functools.partial(load_peer, experiment)
    rows.append(Contestant(BASE, load, eager, missing))
    library = LIBRARIES.get(experiment.routers["token"][0], "")
    for name, style in FUNCTIONAL.items():
        build = functools.partial(_torch, experiment, style)
        reason = missing or why_not_functional(library, **style)
        rows.append(Contestant(name, load, build, reason))
    return rows


def placements(members: int, planned: Placement) -> Iterator[tuple[str, Placement]]:
    """Distinct placements with their names, the planned one first."""
    yield f"{ONSET}, {_layout(planned)}", planned
    seen = {planned}
    widest = -(-members // planned.devices)
    others = [Placement(1, 1)]
    others += [Placement(planned.devices, w) for w in WIDTHS if w <= widest]
    for other in (*others, Placement(1, members)):
        if other not in seen:
            yield f"Onset, {_layout(other)}", other
        seen.add(other)


def why_no_peer(experiment: Experiment) -> str:
    """Why PyTorch cannot train the same members here; empty if it can."""
    router, settings = experiment.routers["token"]
    knobs = {f"token.{name}": knob.neutral for name, knob in router.knobs.items()}
    axis = experiment.grid.axis
    if "depth" in experiment.routers:
        return "no peer for a depth router"
    changed = any(value != knobs[k] for k, value in experiment.fixed.items())
    if changed or axis.knob != BRAKE:
        return f"no peer for knobs other than {BRAKE}"
    if experiment.spec.model.config.dtype != jnp.float32:
        return "no peer for a model.dtype other than float32"
    if router is Attention:
        if settings.rotary or settings.slopes != "uniform":
            return "no peer for rotary attention or for slopes other than uniform"
    elif router not in LIBRARIES:
        return f"no peer for {router.__name__}"
    elif not getattr(settings, "token_shift", getattr(settings, "gated", True)):
        return f"no peer for this form of {router.__name__}"
    elif any(value != knobs[BRAKE] for value in axis.values):
        return f"no peer at a brake other than {knobs[BRAKE]:g}, the published one"
    needed = {"torch", LIBRARIES.get(router, "torch")}
    if any(importlib.util.find_spec(name) is None for name in needed):
        return "PyTorch or its library is missing: pip install 'router-sweeps[parity]'"
    return ""


def why_not_functional(library: str, *, stacked: bool, compiled: bool) -> str:
    """Why the layers of a library cannot train in this style; empty if they can."""
    if library == "transformers":
        return "the mixers of transformers run eagerly only"
    if library == "torch_geometric" and stacked and compiled:
        # With PyTorch 2.13, the first losses agree, and later ones differ by .01.
        return (
            "PyTorch Geometric's layers train to different losses if compiled this way"
        )
    return ""


class ChunkTrainer:
    """Onset's own program: one call trains all members for a whole chunk."""

    def __init__(self, experiment: Experiment, placement: Placement) -> None:
        """Compiles the program and initialises its members."""
        self._members = experiment.grid.members
        chunk = compile_chunk(experiment, placement, self._members)
        self._chunk, self.states, self._arguments = chunk

    def train(self) -> jax.Array:
        """See `Trainer.train`."""
        self.states, losses = self._chunk(self.states, *self._arguments)
        return losses.block_until_ready()[: self._members]


class PlainLoop:
    """The same training step, jitted, called from Python for each member and step."""

    def __init__(self, experiment: Experiment, start: Start) -> None:
        """Puts states and batches on the first device."""
        every = make_members(
            experiment, experiment.grid, np.arange(experiment.grid.members)
        )
        states = jax.tree.map(jnp.asarray, start.states)
        rows = range(experiment.grid.members)
        self.states = [take_row(states, row) for row in rows]
        self._members = [take_row(every, row) for row in rows]
        self._geometry = experiment.task.geometry()
        inputs, targets = (jnp.asarray(part) for part in start.batches)
        self._batches = list(zip(inputs, targets, strict=True))
        step = functools.partial(train_step, experiment.spec)
        self._step = jax.jit(step, donate_argnums=2)

    def train(self) -> jax.Array:
        """See `Trainer.train`."""
        losses = []
        for index, member in enumerate(self._members):
            state = self.states[index]
            for batch in self._batches:
                state, loss = self._step(self._geometry, member, state, *batch)
                losses.append(loss)
            self.states[index] = state
        jax.block_until_ready((self.states, losses))
        return jnp.stack(losses).reshape(len(self._members), -1)


def load_torch() -> None:
    """Imports PyTorch, and the parts that its optimisers import when first used."""
    import torch
    import torch._dynamo

    torch.set_num_threads(cores())


def load_peer(experiment: Experiment) -> None:
    """Imports PyTorch and the library that provides the peer's layers."""
    load_torch()
    from sweeps.bench.peers.torch_training import make_mixer

    make_mixer(experiment)


def _torch(
    experiment: Experiment, style: dict[str, bool] | None, start: Start
) -> Trainer:
    from sweeps.bench.peers.torch_training import make_peer

    return make_peer(experiment, style, start.states.params, start.batches)


def _chunk(experiment: Experiment, placement: Placement, _: Start) -> Trainer:
    return ChunkTrainer(experiment, placement)


def _nothing() -> None:
    """Imports nothing: JAX is already there."""


def _layout(placement: Placement) -> str:
    return f"{placement.devices} × {placement.width}"
