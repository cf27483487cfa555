"""An example of every geometry kind."""

from collections.abc import Callable, Mapping

import jax.numpy as jnp
import numpy as np

from routers.base import Geometry, causal_geometry
from routers.depth_attention import depth_geometry
from routers.hyper_connections import stream_geometry


def ring_geometry(nodes: int) -> Geometry:
    """Hop distances on a ring with self-loops, masked to two hops."""
    apart = np.abs(np.arange(nodes)[:, None] - np.arange(nodes)[None])
    hops = np.minimum(apart, nodes - apart)
    return Geometry(jnp.asarray(hops, jnp.float32), jnp.asarray(hops <= 2), "graph")


def graph_geometry(nodes: int) -> Geometry:
    """A ring with some edges in one direction only, and longer ways back.

    On a symmetric graph a router that exchanges receiver and sender would not be
    noticed.
    """
    ring = ring_geometry(nodes)
    receiver, sender = np.arange(nodes)[:, None], np.arange(nodes)[None]
    one_way = (receiver > sender) & ((receiver + sender) % 3 == 0)
    return ring.replace(
        distance=ring.distance + jnp.asarray(receiver > sender, jnp.float32),
        mask=ring.mask & jnp.asarray(~one_way),
    )


GEOMETRIES: Mapping[str, tuple[Callable[[int], Geometry], int, int]] = {
    "causal": (causal_geometry, 13, 131),
    "graph": (graph_geometry, 13, 67),
    "depth": (depth_geometry, 13, 67),
    "streams": (stream_geometry, 5, 5),
}
"""An example of every geometry kind from its number of sources, and the short and the
long number. They are prime, so that no chunk fits; long sequences exceed every chunk.
The parameters of stream routers depend on the number, so there is only one."""
