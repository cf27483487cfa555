"""Compiles the training chunk, by shape alone, for devices that may be absent."""

import os
import re
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from sweeps.clusters.capacity import Footprint, Overflow
from sweeps.clusters.slices import GIB, Slice
from sweeps.clusters.step_work import make_step
from sweeps.design.experiment import Experiment
from sweeps.engine.inputs import data_streams, make_members
from sweeps.engine.programs import make_loop
from sweeps.errors import BadInput
from sweeps.runtime.placement import MEMBERS, Placement

AVAILABLE = re.compile(r"available HBM \(([\d.]+)([KMG])\)")
SCALE = {"K": GIB / 2**20, "M": GIB / 2**10, "G": float(GIB)}


def use_described_tpus() -> None:
    """Restricts libtpu to compiling: no metadata server, and no device is claimed."""
    jax.config.update("jax_platforms", "cpu")
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    # Another process may hold a device at the same time.
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    # Without these, it prints warnings on a host that is not a TPU host.
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
    os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5litepod-4")


def describe_slice(asked: Slice) -> list[Any]:
    """Descriptions of the devices of a slice, for compiling.

    Raises:
      BadInput: The compiler does not know the slice.
    """
    from jax.experimental import topologies

    shape = [int(size) for size in asked.topology.split("x")]
    # By default the compiler assumes four chips per host, and no smaller slice.
    bounds = [*shape, 1][:3] if asked.hosts == 1 else [2, 2, 1]
    try:
        described = topologies.get_topology_desc(
            platform="tpu", topology_name=asked.name, chips_per_host_bounds=bounds
        )
    except jax.errors.JaxRuntimeError as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"--topology={asked.name}: {reason}") from None
    return list(described.devices)


def lower_chunk(
    experiment: Experiment, mesh: Mesh, width: int, members: int
) -> jax.stages.Lowered:
    """Lowers the training chunk of a sweep, by shape, for devices that may be absent.

    Args:
      experiment: Experiment of the sweep.
      mesh: Mesh of a slice; each device is a group of its own.
      width: Number of members computed at once on each device.
      members: Number of members on each device.
    """
    placement = Placement(mesh.size, width)
    loop = make_loop(experiment, placement, mesh)
    order = np.zeros(members * mesh.size, int)
    rows = jax.eval_shape(lambda: make_members(experiment, experiment.grid, order))
    states = jax.eval_shape(loop.init, rows, experiment.task)
    return jax.jit(loop.chunk, donate_argnums=0).lower(
        _spread(mesh, P(MEMBERS), states),
        _spread(mesh, P(MEMBERS), rows),
        *_shared(experiment, mesh),
    )


def _shared(experiment: Experiment, mesh: Mesh) -> tuple[Any, Any, Any]:
    """Shapes of what every device holds: task, data streams and first step."""
    shared = jax.eval_shape(
        lambda: (experiment.task, data_streams(experiment), jnp.zeros((), jnp.int32))
    )
    task, streams, first = _spread(mesh, P(), shared)
    return task, streams, first


def _spread(mesh: Mesh, spec: P, shapes: Any) -> Any:
    sharding = NamedSharding(mesh, spec)
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
    )


def analyze_chunk(
    experiment: Experiment, mesh: Mesh, width: int, members: int
) -> Footprint | Overflow:
    """What a compiled chunk needs on each device for this number of members."""
    lowered = lower_chunk(experiment, mesh, width, members)
    start = time.perf_counter()
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        said = AVAILABLE.search(str(error))
        return Overflow(float(said[1]) * SCALE[said[2]] if said else None)
    return read_program(compiled, members, time.perf_counter() - start)


def analyze_step(experiment: Experiment, mesh: Mesh, width: int) -> Footprint:
    """What one step of the members computed at once needs on each device."""
    step, shapes = make_step(experiment, width)
    arguments = _spread(mesh, P(), shapes)
    start = time.perf_counter()
    compiled = jax.jit(step, donate_argnums=0).lower(*arguments).compile()
    return read_program(compiled, width, time.perf_counter() - start)


def read_program(
    compiled: jax.stages.Compiled, members: int, seconds: float
) -> Footprint:
    """Reads what the compiler reports about its program, for one device."""
    memory: Any = compiled.memory_analysis()
    # Not `optimal_seconds`: it was negative for programs that fit in memory.
    cost: Any = compiled.cost_analysis()
    return Footprint(
        members=members,
        memory=memory.argument_size_in_bytes
        + memory.temp_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes,
        flops=cost["flops"],
        traffic=cost["bytes accessed"],
        seconds=seconds,
    )
