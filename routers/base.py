"""What a router is: the contract every routing mechanism here obeys.

A router decides, from content, how much each *source* contributes to each output.
Beside its content score it carries a *positional brake*: one scalar that multiplies
the log-decay with distance, so that ``log-weight = content - brake * distance``.

Axis legend, used in every file:

====  ==========================  ====  ====================================
B     batch (independent units)   T     queries (outputs)
S     sources                     H     heads (or groups of channels)
K     width of one head           D     model width
N     state size                  L     layers
M     members of a sweep          V     vocabulary
====  ==========================  ====  ====================================

A router is a Linen module with three pure stages and one call::

    features = router.project(x)                      # queries, keys, values, ...
    routing  = router.route(features, geometry, knobs)  # exact weights: diagnostics
    y        = router.mix(features, geometry, knobs)    # the fast path: training
    y, routing = router(x, geometry, knobs)           # both; drop one, pay for one

Knobs are call arguments, float32 arrays in a flat dict, never module attributes:
one compiled program serves every value, and initialisation never depends on them.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

Array = jax.Array
Knobs = Mapping[str, Array]


class Edges(struct.PyTreeNode):
    """The true entries of a mask as a list, for a graph that is mostly masked.

    Attributes:
      target: int32 ``[E]``, ascending; the query of each pair.
      source: int32 ``[E]``; what it may read.
    """

    target: Array
    source: Array


class Geometry(struct.PyTreeNode):
    """What the task knows of positions.

    Attributes:
      distance: float32 ``[T, S]`` or ``[B, T, S]``, non-negative; what the brake
        multiplies. The nearest allowed source of a query has the least distance.
      mask: bool, same shape; true where a query may read a source.
      kind: ``"causal"`` (elapsed steps), ``"graph"`` (hops) and so on; static. A
        router declares the kinds it accepts.
      edges: the mask ``[T, S]`` once more, as a list, where a router's fast path
        should follow that; None elsewhere. Whoever changes the mask changes both.
    """

    distance: Array
    mask: Array
    kind: str = struct.field(pytree_node=False)
    edges: Edges | None = None


@partial(jax.jit, static_argnums=0)
def causal_geometry(length: int) -> Geometry:
    """Geometry of a sequence: each position reads itself and its past.

    Args:
      length: T = S, the number of positions.

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


class Knob(NamedTuple):
    """A traced coefficient of a router, declared as data.

    Attributes:
      neutral: the value at which the router is the published one (not always 0).
      low: least value that has a meaning.
      high: greatest value that has a meaning (``inf`` where there is none).
      meaning: one line for tables and error messages, with the limits.
    """

    neutral: float
    low: float
    high: float
    meaning: str


class Routing(struct.PyTreeNode):
    """How one call of a router distributed its sources.

    Attributes:
      weights: float32 ``[B, H, T, S]``, non-negative; each row sums to
        ``1 - null_mass``. For signed routers the row-normalised magnitudes.
      null_mass: ``[B, H, T]``, mass that went to no source; None if always zero.
      cancellation: ``[B, H, T]``, ``|sum_j A_ij| / sum_j |A_ij|`` of a signed
        router; None where weights cannot be negative.
      key_norms: ``[B, H, S]``, norms of the keys as they enter the score; None
        where the router has no keys.
      value_norms: ``[B, H, S]``; None where the router has no values.
    """

    weights: Array
    null_mass: Array | None = None
    cancellation: Array | None = None
    key_norms: Array | None = None
    value_norms: Array | None = None


class Router(nn.Module):
    """Base of all routers. Subclasses define the stages and declare the data below.

    Class attributes:
      knobs: every knob the router has, by name; at least ``brake`` and ``content``
        (1 as is, 0 log-content zero: the brake-only and uniform nulls are the very
        same code at other knob values).
      kinds: geometry kinds the router accepts.
      slot: place in the backbone, ``"token"`` (mixes positions) or ``"depth"``.
      reach: as ``brake -> inf`` all mass lies on sources whose distance exceeds the
        query's nearest by at most this; 0 is the identity on causal geometry.
      roles: where its features hold what the diagnostic nulls change and the
        contributions need, as dotted paths: ``query`` and ``key`` (``[B, S, ..., K]``,
        what the score multiplies), ``channel_key`` (one number per channel),
        ``value`` (``[B, S, H, K]``, only where a head's output is its reported
        weights times these), ``depth_key`` and ``depth_value``. What is left out is
        reported as not defined.

    Attributes:
      width: D, of the input and the output.
      config: the router's own settings, a frozen dataclass with a default.
    """

    width: int
    config: Any = None

    knobs: ClassVar[Mapping[str, Knob]]
    kinds: ClassVar[frozenset[str]]
    slot: ClassVar[str] = "token"
    reach: ClassVar[float] = 0.0
    roles: ClassVar[Mapping[str, str]] = {}

    def project(self, x: Array) -> Any:
        """Maps ``x [B, S, D]`` to the router's own named features."""
        raise TypeError(f"{type(self).__name__} does not define project")

    def route(self, features: Any, geometry: Geometry, knobs: Knobs) -> Routing:
        """The exact effective routing matrix, for diagnostics and nulls."""
        raise TypeError(f"{type(self).__name__} does not define route")

    def mix(self, features: Any, geometry: Geometry, knobs: Knobs) -> Array:
        """The output ``y [B, T, D]`` by the fast path, for training."""
        raise TypeError(f"{type(self).__name__} does not define mix")

    def explicit(self, features: Any, geometry: Geometry, knobs: Knobs) -> Array:
        """The output ``y [B, T, D]`` through the explicit matrix: the oracle of mix."""
        raise TypeError(f"{type(self).__name__} does not define explicit")

    def circuits(self) -> Array | None:
        """``W_O W_V`` of every head, ``[H, D, D]``, ``y = W_O W_V x``; None if not one.

        Only where the output is linear in the mixed values.
        """
        return None

    def forward(self, x: Array, geometry: Geometry, knobs: Knobs) -> Array:
        """The output ``y [B, T, D]`` from ``x [B, S, D]``: `mix` of `project`."""
        return self.mix(self.project(x), geometry, knobs)

    def __call__(
        self, x: Array, geometry: Geometry, knobs: Knobs
    ) -> tuple[Array, Routing]:
        """Mixes and routes in one call.

        Args:
          x: ``[B, S, D]``.
          geometry: of a kind the router accepts.
          knobs: every knob of the router, float32 scalars or ``[H]``.

        Returns:
          ``y [B, T, D]`` and the `Routing`; an unused one is compiled away.

        Raises:
          ValueError: geometry kind, axis shape or knob names do not fit.
        """
        check_call(self, x, geometry, knobs)
        y = self.forward(x, geometry, knobs)
        return y, self.route(self.project(x), geometry, knobs)


def check_call(router: Router, x: Array, geometry: Geometry, knobs: Knobs) -> None:
    """Raises ValueError, naming both sides, where a call does not fit its router."""
    name = type(router).__name__
    if geometry.kind not in router.kinds:
        accepted = ", ".join(sorted(router.kinds))
        raise ValueError(
            f"{name} does not accept {geometry.kind!r} geometry; accepted: {accepted}"
        )
    if geometry.mask.shape[-1] != x.shape[-2]:
        raise ValueError(
            f"{name}: geometry of shape {geometry.mask.shape} has "
            f"{geometry.mask.shape[-1]} sources, x of shape {x.shape} has {x.shape[-2]}"
        )
    if set(knobs) != set(router.knobs):
        raise ValueError(
            f"{name}: knobs given {sorted(knobs)}, declared {sorted(router.knobs)}"
        )


def neutral_knobs(router: Router | type[Router]) -> dict[str, Array]:
    """Every knob of a router at its neutral value, as float32 scalars."""
    return {
        name: jnp.asarray(knob.neutral, jnp.float32)
        for name, knob in router.knobs.items()
    }


def per_head(knob: Array) -> Array:
    """A scalar or ``[H]`` knob, shaped to broadcast against ``[B, H, T, S]``."""
    return jnp.reshape(knob, (1, -1, 1, 1))


def per_batch(array: Array) -> Array:
    """``[T, S]`` or ``[B, T, S]`` of a geometry, to go with ``[B, H, T, S]``."""
    return array.reshape(-1, 1, *array.shape[-2:])


def split_heads(x: Array, batch: int, heads: int) -> Array:
    """``x [B, S, D]``, or flattened ``[B * S, D]``, as ``[B, S, H, K]``."""
    return x.reshape(batch, -1, heads, x.shape[-1] // heads)


def head_norms(x: Array) -> Array:
    """Euclidean norms of ``[B, S, H, K]`` over K, float32 ``[B, H, S]``."""
    return jnp.linalg.norm(x.astype(jnp.float32), axis=-1).swapaxes(1, 2)
