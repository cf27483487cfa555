"""A sweep's programs with their shared inputs.

All are compiled before the first step, except the diagnosis, which a thread compiles
while members train.
"""

import dataclasses
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from routers.signature.nulls import Variant, diagnostic_variants
from sweeps.design.experiment import Experiment
from sweeps.design.grid import split_grid
from sweeps.engine.inputs import (
    data_streams,
    diagnosis_inputs,
    held_out,
    make_members,
    row_blocks,
    step_number,
)
from sweeps.findings.post_hoc import why_absent
from sweeps.runtime.placement import (
    MEMBERS,
    Placement,
    make_mesh,
    make_spread,
    place,
    replicate,
)
from train.loop import Loop
from train.step import Member


class LazyProgram:
    """A program that a thread compiles once it is started or first needed."""

    def __init__(self, build: Callable[[], Any]) -> None:
        """Keeps the function that traces and compiles the program."""
        self._build = build
        self._compiled: Future[Any] | None = None

    def start(self) -> Future[Any]:
        """Compiles the program while the caller does something else."""
        if self._compiled is None:
            self._compiled = ThreadPoolExecutor(1).submit(self._build)
        return self._compiled

    def result(self) -> Any:
        """The compiled program."""
        return self.start().result()


@dataclasses.dataclass(frozen=True)
class Programs:
    """The compiled programs; each takes one fixed number of member rows.

    Attributes:
      init: Makes every member's state at step 0.
      chunk: Trains all members for one chunk of steps; donate its states.
      measure: Takes the measurement at the end of a chunk.
      diagnose: Takes the full measurement at the end of a sweep; None without one.
    """

    init: Any
    chunk: Any
    measure: Any
    diagnose: LazyProgram | None


@dataclasses.dataclass(frozen=True)
class Shared:
    """Inputs that all members share, on every device.

    Attributes:
      task: The task's arrays.
      streams: PRNG keys of the data streams.
      batch: Held-out inputs and targets.
    """

    task: Any
    streams: jax.Array
    batch: tuple[jax.Array, jax.Array]


@dataclasses.dataclass(frozen=True)
class CompiledSweep:
    """A sweep that is ready to train.

    Attributes:
      experiment: The experiment.
      placement: Layout of members over devices.
      rows: Number of member rows that the programs take.
      programs: The compiled programs.
      shared: Inputs that all members share.
      seconds: Time that tracing and compiling took.
      chunk_bytes: Size of the arguments and temporaries of one chunk.
    """

    experiment: Experiment
    placement: Placement
    rows: int
    programs: Programs
    shared: Shared
    seconds: float
    chunk_bytes: int

    @property
    def mesh(self) -> Mesh:
        """The mesh of devices."""
        return make_mesh(self.placement)


def compile_sweep(experiment: Experiment, placement: Placement) -> CompiledSweep:
    """Compiles the programs of an experiment for one wave of its members.

    Args:
      experiment: The experiment.
      placement: Layout of members over devices.
    """
    mesh = make_mesh(placement)
    start = time.perf_counter()
    rows = placement.padded(experiment.wave_members)
    first = split_grid(experiment.grid, experiment.wave_values)[0]
    (order,) = row_blocks(first.members, rows)
    members = place(mesh, make_members(experiment, first, order))
    shared = Shared(
        task=replicate(mesh, experiment.task),
        streams=replicate(mesh, data_streams(experiment)),
        batch=replicate(mesh, held_out(experiment)),
    )
    loop = make_loop(experiment, placement, mesh)
    programs = _compile(loop, mesh, members, shared, experiment)
    memory: Any = programs.chunk.memory_analysis()
    return CompiledSweep(
        experiment=experiment,
        placement=placement,
        rows=rows,
        programs=programs,
        shared=shared,
        seconds=time.perf_counter() - start,
        chunk_bytes=placement.devices
        * (memory.argument_size_in_bytes + memory.temp_size_in_bytes),
    )


def make_loop(experiment: Experiment, placement: Placement, mesh: Mesh) -> Loop:
    """The pure functions of an experiment, spread over a mesh."""
    spec = dataclasses.replace(experiment.spec, shares=placement.data)
    return Loop(spec, make_spread(placement, mesh))


def variants_of(experiment: Experiment) -> tuple[tuple[Variant, ...], dict[str, str]]:
    """The variants that a diagnosis measures, and why others are absent."""
    router, _ = experiment.routers[experiment.spec.slot]
    return diagnostic_variants(router, experiment.kind, why_absent(experiment))


def _compile(
    loop: Loop, mesh: Mesh, members: Member, shared: Shared, experiment: Experiment
) -> Programs:
    """Compiles what the first step needs, and leaves the diagnosis to a thread."""
    sharding = NamedSharding(mesh, P(MEMBERS))
    states = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        jax.eval_shape(loop.init, members, shared.task),
    )
    first, rank_nulls = step_number(mesh, 0), replicate(mesh, jnp.asarray(True))
    with ThreadPoolExecutor() as pool:
        # The longest compilation starts first; meanwhile the next ones are traced.
        chunk = jax.jit(loop.chunk, donate_argnums=0).lower(
            states, members, shared.task, shared.streams, first
        )
        chunk_compiled = pool.submit(chunk.compile)
        measure = jax.jit(loop.measure).lower(
            states, members, shared.task, shared.batch, rank_nulls
        )
        measure_compiled = pool.submit(measure.compile)
        init = jax.jit(loop.init).lower(members, shared.task)
        init_compiled = pool.submit(init.compile)
    diagnose = None
    if experiment.diagnosed:
        # Variants are those of the whole sweep, because the neutral value need not be
        # in the first wave.
        variants, _ = variants_of(experiment)
        inputs: Any = replicate(mesh, diagnosis_inputs(experiment))

        def build() -> Any:
            params = (states.params,) * 3
            traced = jax.jit(loop.diagnose, static_argnums=0)
            return traced.lower(
                variants, params, members, shared.task, inputs
            ).compile()

        diagnose = LazyProgram(build)
    return Programs(
        init=init_compiled.result(),
        chunk=chunk_compiled.result(),
        measure=measure_compiled.result(),
        diagnose=diagnose,
    )
