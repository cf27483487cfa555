"""Saves and loads trees of arrays, through Orbax."""

import logging
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from orbax.checkpoint import v1 as ocp

from routers.base import Array


def _is_not_of_orbax(record: logging.LogRecord) -> bool:
    return "orbax" not in Path(record.pathname).parts


# Each of Orbax's threads logs a stack trace of its own when a disk is full. The errors
# themselves are raised to the caller, so nothing is lost with these lines.
logging.getLogger("absl").addFilter(_is_not_of_orbax)


class Saving(Protocol):
    """A save in progress."""

    def result(self, timeout: float | None = None) -> None:
        """Waits until the tree is on disk.

        Args:
          timeout: Number of seconds to wait at most; None for no limit.

        Raises:
          TimeoutError: the save takes longer. If it fails, its own error is raised.
        """
        ...


def save(path: Path, tree: Any) -> None:
    """Writes a tree of arrays atomically, replacing an older checkpoint.

    Args:
      path: Folder of the checkpoint.
      tree: Any pytree of arrays, which may include typed PRNG keys.
    """
    ocp.save(path.absolute(), tree, overwrite=True)


def save_async(path: Path, tree: Any) -> Saving:
    """As `save`, but written by a thread; the arrays may be donated meanwhile."""
    return ocp.save_async(path.absolute(), tree, overwrite=True)


def load(path: Path, like: Any) -> Any:
    """Reads a checkpoint.

    Args:
      path: Folder of the checkpoint.
      like: Tree of arrays or `jax.ShapeDtypeStruct` with the wanted shapes, dtypes and
        shardings.
    """
    return ocp.load(path.absolute(), jax.tree.map(_abstract, like))


def load_part(path: Path, keys: tuple[str, ...]) -> Any:
    """Reads one part of a checkpoint as NumPy arrays, in the shapes it was saved in.

    Args:
      path: Folder of the checkpoint.
      keys: Names that lead to the part, as in ``("states", "params")``; none for all.
    """
    part: Any = ocp.metadata(path.absolute()).metadata
    for key in keys:
        part = part[key]
    like = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), part)
    for key in reversed(keys):
        like = {key: like}
    partly = ocp.options.PyTreeOptions.Loading(partial_load=True)
    with ocp.Context(pytree_options=ocp.options.PyTreeOptions(loading=partly)):
        found: Any = ocp.load(path.absolute(), like)
    for key in keys:
        found = found[key]
    return found


def _abstract(leaf: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)


@jax.jit
def checksum(tree: Any) -> Array:
    """For every leaf, the sum of its bits weighted by place, uint32 ``[leaves]``.

    The order of an integer sum does not matter, so the result does not depend on which
    devices hold the tree, or on how many.
    """

    def of_leaf(leaf: Array) -> Array:
        bits = jnp.dtype(f"uint{8 * leaf.dtype.itemsize}")
        words = jax.lax.bitcast_convert_type(leaf, bits).astype(jnp.uint32).ravel()
        place = jnp.arange(words.size, dtype=jnp.uint32)
        return (words * (2 * place + 1)).sum(dtype=jnp.uint32)

    return jnp.stack([of_leaf(leaf) for leaf in jax.tree.leaves(tree)])
