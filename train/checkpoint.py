"""Orbax behind two functions: save a tree of arrays, load it like another."""

from pathlib import Path
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp


def save(path: Path, tree: Any) -> None:
    """Writes a tree of arrays; atomically, replacing an older one.

    Args:
      path: the checkpoint's own folder.
      tree: any pytree of arrays; typed PRNG keys included.
    """
    ocp.save(path.absolute(), tree, overwrite=True)


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
