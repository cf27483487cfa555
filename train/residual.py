"""How sublayers read what earlier ones wrote: by a sum, or by a router over depth.

Every form of the residual has the same two operations, ``read`` before a sublayer and
``write`` after it, and reports the ``stream`` as it was last read: one state of width D
for every token. The sum has just one such state. Where a router over depth replaces the
sum, it is the state that the router mixed from its sources, which is what the sublayer
sees in place of the sum. Where there are several streams, it is their mean, which
doubly stochastic mixing leaves alone. Forms with a router also report what it did, as
``traces`` on a ``geometry``.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from routers.base import Array, Geometry, Knobs, Router, Routing
from routers.depth_attention import depth_geometry
from routers.hyper_connections import stream_geometry


class Trace(struct.PyTreeNode):
    """One use of a router.

    Attributes:
      routing: How the router distributed its sources, weights ``[B, H, T, S]``. Over
        depth ``[B, 1, sublayers, S]``, with one row for each sublayer that had more
        than one source, averaged over tokens.
      output: What the router returned, ``[B, T, D]``; over depth, the last state read.
    """

    routing: Routing
    output: Array


class ResidualSum:
    """The ordinary residual stream."""

    def __init__(self, x: Array) -> None:
        """Starts from the embedding ``[B, T, D]``."""
        self._x = x

    def read(self) -> Array:
        """The running sum."""
        return self._x

    def write(self, update: Array) -> None:
        """Adds a sublayer's output."""
        self._x = self._x + update.astype(self._x.dtype)

    def stream(self) -> Array:
        """The running sum ``[B, T, D]``."""
        return self._x


class RoutedDepth:
    """A residual in which a depth router mixes the embedding and the sums of blocks.

    With blocks of one sublayer, the sources are the embedding and all earlier outputs
    (the full form). Inside a longer block, the block's running sum is one more source.
    No state is a source twice.
    """

    def __init__(
        self,
        x: Array,
        make: Callable[..., Router],
        knobs: Knobs,
        block: int,
        distance: str,
    ) -> None:
        """Starts from the embedding ``[B, T, D]``.

        Args:
          x: The embedding.
          make: Makes the router of one reading, given ``width`` and ``name``.
          knobs: Knobs of the depth slot.
          block: Number of sublayers whose outputs are summed into one source.
          distance: Kind of distance, see `depth_geometry`.
        """
        self._make, self._knobs, self._distance = make, knobs, distance
        self._block, self._written = block, 0
        self._sources = [x]
        self._routings: list[Routing] = []
        self._last = x

    def read(self) -> Array:
        """The routed mixture of all sources; a single source is returned unrouted."""
        sources = self._sources
        if len(sources) == 1:
            return sources[0]
        batch, length, width = sources[0].shape
        router = self._make(width=width, name=f"depth_{self._written}")
        x = jnp.stack(sources, axis=2).reshape(-1, len(sources), width)
        y, routing = router(
            x, depth_geometry(len(sources), self._distance), self._knobs
        )
        self._last = y.reshape(batch, length, width)
        by_token = jax.tree.map(
            lambda a: a.reshape(batch, length, *a.shape[1:]), routing
        )
        self._routings.append(jax.tree.map(lambda a: jnp.mean(a, 1), by_token))
        return self._last

    def write(self, update: Array) -> None:
        """Starts a new source at the start of a block, else adds to the last source."""
        if self._written % self._block == 0:
            self._sources.append(update.astype(self._last.dtype))
        else:
            self._sources[-1] = self._sources[-1] + update.astype(self._last.dtype)
        self._written += 1

    def stream(self) -> Array:
        """The state that was read last, ``[B, T, D]``."""
        return self._last

    def traces(self) -> list[Trace]:
        """One trace, with all readings as the rows of one matrix over sources."""
        most = self._routings[-1].weights.shape[-1]

        def padded(routing: Routing) -> Array:
            missing = most - routing.weights.shape[-1]
            return jnp.pad(routing.weights, [(0, 0)] * 3 + [(0, missing)])

        rows = [padded(routing) for routing in self._routings]  # [B, 1, 1, S] each
        routing = Routing(
            weights=jnp.concatenate(rows, axis=2),
            key_norms=self._routings[-1].key_norms,
        )
        return [Trace(routing, self._last)]

    def geometry(self) -> Geometry:
        """Geometry whose mask is true where a reading saw a source, ``[readings, S]``.

        Distances are zero.
        """
        seen = [routing.weights.shape[-1] for routing in self._routings]
        source = jnp.arange(seen[-1])[None]
        mask = source < jnp.asarray(seen)[:, None]
        return Geometry(jnp.zeros(mask.shape, jnp.float32), mask, "depth")


class RoutedStreams:
    """Parallel residual streams that a router mixes before every sublayer.

    A sublayer reads a learned weighted mean of the streams and writes to each of them
    through a learned gate. The reading weights start unequal, because streams that
    start equal would otherwise stay equal.
    """

    def __init__(
        self,
        x: Array,
        make: Callable[..., Router],
        knobs: Knobs,
        streams: int,
        parent: nn.Module,
    ) -> None:
        """Starts every stream from the embedding ``[B, T, D]``.

        Args:
          x: The embedding.
          make: Makes the router of one mixing, given ``width`` and ``name``.
          knobs: Knobs of the depth slot.
          streams: n, number of streams.
          parent: Module that owns the reading weights and writing gates.
        """
        self._make, self._knobs, self._parent = make, knobs, parent
        self._count, self._used = streams, 0
        self._x = jnp.broadcast_to(x[:, :, None], (*x.shape[:2], streams, x.shape[-1]))
        self._traces: list[Trace] = []

    def read(self) -> Array:
        """Mixes the streams and returns this sublayer's weighted mean of them."""
        batch, length, count, width = self._x.shape
        router = self._make(width=width, name=f"depth_{self._used}")
        flat = self._x.reshape(-1, count, width)
        y, routing = router(flat, stream_geometry(count), self._knobs)
        self._x = y.reshape(self._x.shape)
        weights = routing.weights.reshape(batch, length, *routing.weights.shape[1:])
        self._traces.append(Trace(Routing(weights=jnp.mean(weights, 1)), self.stream()))
        share = nn.softmax(self._vector("stream_read", nn.initializers.normal(1.0)))
        self._used += 1
        return jnp.einsum("btnd,n->btd", self._x, share)

    def write(self, update: Array) -> None:
        """Adds a sublayer's output to every stream, through the stream's gate."""
        gate = self._vector("stream_write", nn.initializers.ones)
        gated = update[:, :, None] * gate[None, None, :, None]
        self._x = self._x + gated.astype(self._x.dtype)

    def stream(self) -> Array:
        """The mean over the streams, ``[B, T, D]``."""
        return self._x.mean(2)

    def traces(self) -> list[Trace]:
        """One trace for every mixing."""
        return self._traces

    def geometry(self) -> Geometry:
        """Geometry of one mixing, ``[n, n]``."""
        return stream_geometry(self._count)

    def _vector(self, name: str, init: nn.initializers.Initializer) -> Array:
        return self._parent.param(f"{name}_{self._used}", init, (self._count,))


Residual = ResidualSum | RoutedDepth | RoutedStreams
