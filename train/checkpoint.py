"""Orbax behind a few functions: save a tree of arrays, load it like another."""

from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from orbax.checkpoint import v1 as ocp

from routers.base import Array


class Saving(Protocol):
    """A save under way."""

    def result(self, timeout: float | None = None) -> None:
        """Waits until it is on disk; raises what went wrong, or `TimeoutError`."""
        ...


def save(path: Path, tree: Any) -> None:
    """Writes a tree of arrays; atomically, replacing an older one.

    Args:
      path: the checkpoint's own folder.
      tree: any pytree of arrays; typed PRNG keys included.
    """
    ocp.save(path.absolute(), tree, overwrite=True)


def save_async(path: Path, tree: Any) -> Saving:
    """As `save`, written by a thread; the arrays may be donated meanwhile."""
    return ocp.save_async(path.absolute(), tree, overwrite=True)


def load(path: Path, like: Any) -> Any:
    """Reads a tree back.

    Args:
      path: the checkpoint's folder.
      like: a tree of arrays or `jax.ShapeDtypeStruct` with the wanted shapes, dtypes
        and shardings.
    """
    return ocp.load(path.absolute(), jax.tree.map(_abstract, like))


def _abstract(leaf: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)


@jax.jit
def checksum(tree: Any) -> Array:
    """Sums of the bits of every leaf, weighted by place, uint32 ``[leaves]``.

    Integer sums do not depend on their order, so the devices that hold a tree do not
    matter, nor how many there are.
    """

    def of_leaf(leaf: Array) -> Array:
        bits = jnp.dtype(f"uint{8 * leaf.dtype.itemsize}")
        words = jax.lax.bitcast_convert_type(leaf, bits).astype(jnp.uint32).ravel()
        place = jnp.arange(words.size, dtype=jnp.uint32)
        return (words * (2 * place + 1)).sum(dtype=jnp.uint32)

    return jnp.stack([of_leaf(leaf) for leaf in jax.tree.leaves(tree)])
