"""What a task defines about positions: their distances, and who may read whom.

The names of the axes are explained in `routers.base`, which offers all of this too.
"""

import functools

import jax
import jax.numpy as jnp
from flax import struct

Array = jax.Array

KINDS = ("causal", "depth", "graph", "streams")
"""Every geometry kind."""


class Edges(struct.PyTreeNode):
    """The true entries of a mask as a list, for a graph that is mostly masked.

    Attributes:
      target: Query of each pair, int32 ``[E]``, ascending.
      source: Source that this query may read, int32 ``[E]``.
    """

    target: Array
    source: Array


class Geometry(struct.PyTreeNode):
    """What a task defines about positions: distances and who may read whom.

    Attributes:
      distance: Distance that the brake multiplies, float32 ``[T, S]`` or
        ``[B, T, S]``, non-negative. The nearest allowed source of a query has the
        least distance.
      mask: Whether a query may read a source, bool of the same shape.
      kind: Kind of the geometry: ``"causal"`` (elapsed steps), ``"graph"`` (hops) and
        so on; static. A router declares the kinds it accepts.
      edges: The entries of a mask ``[T, S]`` as a list, where a router's fast path
        should follow that list; otherwise None. Code that changes the mask must change
        both.
    """

    distance: Array
    mask: Array
    kind: str = struct.field(pytree_node=False)
    edges: Edges | None = None


@functools.partial(jax.jit, static_argnums=0)
def causal_geometry(length: int) -> Geometry:
    """Geometry of a sequence: each position reads itself and its past.

    Args:
      length: Number of positions, T = S.

    Returns:
      ``distance[i, j] = max(i - j, 0)`` and ``mask[i, j] = (j <= i)``, ``[T, S]``.
    """
    position = jnp.arange(length)
    elapsed = position[:, None] - position[None, :]
    return Geometry(
        distance=jnp.maximum(elapsed, 0).astype(jnp.float32),
        mask=elapsed >= 0,
        kind="causal",
    )
