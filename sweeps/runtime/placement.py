"""Where members are computed: sharded over devices, then in passes on each device.

The devices form a mesh with two axes, members x data. Devices along the data axis
share every batch of the same members, which helps if there are fewer members than
devices or if a batch does not fit on one device. A device computes its members in
passes: the members of one pass together, by `vmap`, and the passes one after another.

On a CPU every core becomes a device of its own, because a small network keeps one core
busy and cannot use two.
"""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from sweeps.errors import BadInput
from train.step import SHARES

MEMBERS = "members"
XLA_FLAGS = {
    "xla_cpu_multi_thread_eigen": "false",
    "xla_backend_optimization_level": "2",
}
"""Flags that `claim_cores` sets."""


@dataclasses.dataclass(frozen=True)
class Placement:
    """Layout of members over devices.

    Attributes:
      devices: Number of devices in all.
      width: Number of members in one pass; a device computes them at once, by `vmap`.
      data: Number of devices that share every batch of their members.
    """

    devices: int
    width: int
    data: int = 1

    @property
    def groups(self) -> int:
        """Number of groups of devices; each group has members of its own."""
        return self.devices // self.data

    def padded(self, members: int) -> int:
        """The smallest number of rows that fills every pass of every group."""
        row = self.groups * self.width
        return -(-members // row) * row


def cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS


def claim_cores(count: int | None = None) -> None:
    """Asks for one single-threaded host device per core, before JAX's first use.

    Large matrix products still use cores that other devices leave idle (jaxlib 0.10).
    LLVM optimises at level 2. At level 3, XLA's default, the default sweep takes 5.9 s
    to compile instead of 4.7 s, and its steps take 3 to 5 % longer; the steps of other
    routers take the same time.

    Settings that the user made in ``XLA_FLAGS`` take precedence, and a process that has
    already used JAX keeps its devices. Platforms other than the CPU ignore everything
    but the level.

    Args:
      count: Number of devices; by default, one per core of this process.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    for name, value in XLA_FLAGS.items():
        if name not in flags:
            flags = f"{flags} --{name}={value}".strip()
    os.environ["XLA_FLAGS"] = flags
    if "xla_force_host_platform_device_count" not in flags:
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", count or cores())


def find_devices() -> None:
    """Makes JAX find its devices.

    Raises:
      BadInput: there are none of the platform that was asked for.
    """
    try:
        jax.devices()
    except RuntimeError as error:
        asked = jax.config.values["jax_platforms"]
        where = f"JAX_PLATFORMS={asked}" if asked else "JAX finds no device"
        reason = " ".join(str(error).split())[:200]
        raise BadInput(f"{where}: {reason}") from None


def choose_placement(
    devices: int, width: int, members: int, data: int = 1
) -> Placement:
    """Checks the requested placement against this machine.

    Args:
      devices: Number of devices, or 0 for all of them.
      width: Number of members in one pass; 0 gives 1 for now, and leaves the choice to
        `sweeps.engine.vmap_width`.
      members: Number of members to place.
      data: Number of devices that share a batch.

    Raises:
      BadInput: there are fewer devices, they cannot be divided into groups of ``data``,
        or the width is negative.
    """
    present = jax.device_count()
    if not 0 <= devices <= present:
        raise BadInput(
            f"sweep.devices={devices}: must be between 1 and {present}, the number of "
            "devices present, or 0 for all of them"
        )
    if jax.process_count() > 1 and devices not in (0, present):
        raise BadInput(
            f"sweep.devices={devices}: must be 0 or {present}, because "
            f"{jax.process_count()} processes use all {present} devices"
        )
    if width < 0:
        raise BadInput(
            f"sweep.width={width}: must be at least 1, or 0 to have it chosen"
        )
    used = devices or present
    if data < 1 or used % data:
        raise BadInput(
            f"sweep.data={data}: must divide the {used} devices of the sweep"
        )
    groups = used // data
    if jax.process_count() == 1:
        groups = min(groups, members)
    return Placement(groups * data, min(width or 1, -(-members // groups)), data)


def make_mesh(placement: Placement) -> Mesh:
    """Arranges the devices of all processes as members x data."""
    return mesh_of(jax.devices()[: placement.devices], placement.data)


def mesh_of(devices: Sequence[Any], data: int = 1) -> Mesh:
    """Arranges devices as members x data; ``data`` neighbouring ones form a group."""
    return Mesh(np.asarray(devices).reshape(-1, data), (MEMBERS, SHARES))


def make_spread(
    placement: Placement, mesh: Mesh
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Makes the function that spreads a function of one member over all members.

    Args:
      placement: Layout of members over devices.
      mesh: Its mesh.

    Returns:
      ``spread``, such that ``spread(f)(rows, shared)`` is ``f(row, shared)`` for every
      row of a padded stack of members.
    """

    def spread(function: Callable[..., Any]) -> Callable[..., Any]:
        @partial(
            jax.shard_map,
            mesh=mesh,
            in_specs=(P(MEMBERS), P()),
            out_specs=P(MEMBERS),
            check_vma=False,
        )
        def local(rows: Any, shared: Any) -> Any:
            def one(row: Any) -> Any:
                return function(row, shared)

            if placement.width == 1:
                return jax.lax.map(one, rows)
            return jax.lax.map(one, rows, batch_size=placement.width)

        return local

    return spread


def place(mesh: Mesh, rows: Any) -> Any:
    """Puts a stack of members on the devices, sharded by member."""
    return _put(rows, NamedSharding(mesh, P(MEMBERS)))


def replicate(mesh: Mesh, shared: Any) -> Any:
    """Puts on every device what all members share."""
    return _put(shared, NamedSharding(mesh, P()))


def _put(tree: Any, sharding: NamedSharding) -> Any:
    """Puts on devices what every process holds whole; each fills its own devices."""
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)

    def of_leaf(leaf: Any) -> Any:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            data = of_leaf(jax.random.key_data(leaf))
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
        whole = np.asarray(leaf)
        return jax.make_array_from_callback(
            whole.shape, sharding, lambda index: whole[index]
        )

    return jax.tree.map(of_leaf, tree)
