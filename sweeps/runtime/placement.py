"""Where members are computed: shards over devices, then vmap or turns inside each.

Devices are a mesh of two axes, members x data: those along the second share every
batch of the same members, which is of use where there are fewer members than devices
or a batch does not fit one.

On a CPU every core becomes a device of its own: a small network keeps one core busy
and cannot use two.
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
"""What `claim_cores` sets."""


@dataclasses.dataclass(frozen=True)
class Placement:
    """How members are laid out.

    Attributes:
      devices: in all.
      width: members per device computed at once by vmap; the rest take turns.
      data: devices that share every batch of their members.
    """

    devices: int
    width: int
    data: int = 1

    @property
    def groups(self) -> int:
        """Groups of devices, between which members are shared."""
        return self.devices // self.data

    def padded(self, members: int) -> int:
        """The least number of rows that fills every group and every turn evenly."""
        row = self.groups * self.width
        return -(-members // row) * row


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS


def claim_cores(count: int | None = None) -> None:
    """Asks for one single-threaded host device per core; before JAX's first use.

    Large products use cores that other devices leave idle all the same (jaxlib 0.10).
    LLVM optimises at level 2: at XLA's own 3 the default sweep compiles in 5.9 s
    instead of 4.7, and its steps take 3 to 5 % longer; other routers' as long.

    Settings the user made in ``XLA_FLAGS`` win, and a process that has used JAX
    already keeps its devices. Other platforms ignore all but the level.

    Args:
      count: of devices; one per core of this process by default.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    for name, value in XLA_FLAGS.items():
        if name not in flags:
            flags = f"{flags} --{name}={value}".strip()
    os.environ["XLA_FLAGS"] = flags
    if "xla_force_host_platform_device_count" not in flags:
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", count or cores())


def choose_placement(
    devices: int, width: int, members: int, data: int = 1
) -> Placement:
    """Checks the asked placement against this machine.

    Args:
      devices: 0 for all.
      width: 0 for 1, to be planned (`sweeps.engine.vmap_width`).
      members: to place.
      data: devices that share a batch.

    Raises:
      BadInput: more devices than there are, groups of ``data`` that do not come
        out even, or a negative width.
    """
    present = jax.device_count()
    if not 0 <= devices <= present:
        raise BadInput(f"sweep.devices={devices}: there are {present}")
    if jax.process_count() > 1 and devices not in (0, present):
        raise BadInput(
            f"sweep.devices={devices}: {jax.process_count()} processes use all "
            f"{present} devices (0)"
        )
    if width < 0:
        raise BadInput(f"sweep.width={width}: at least 1, or 0 to have it chosen")
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
    """The devices of all processes, members x data."""
    return mesh_of(jax.devices()[: placement.devices], placement.data)


def mesh_of(devices: Sequence[Any], data: int = 1) -> Mesh:
    """Devices, neighbours in one group of ``data``, over which members are sharded."""
    return Mesh(np.asarray(devices).reshape(-1, data), (MEMBERS, SHARES))


def make_spread(
    placement: Placement, mesh: Mesh
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Spreads a function of one member over a padded stack of members.

    Returns:
      ``spread(f)(of_members, shared)``: ``f(of_member, shared)`` for every row.
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
    """Puts what all members share on every device."""
    return _put(shared, NamedSharding(mesh, P()))


def _put(tree: Any, sharding: NamedSharding) -> Any:
    """The same values in every process, each keeping what its devices hold."""
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
