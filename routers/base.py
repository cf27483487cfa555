"""What a router is: the interface that every routing mechanism here implements.

A router decides, from content, how much each *source* contributes to each output.
In addition to its content score it has a *positional brake*: one scalar that multiplies
the log-decay with distance, so that ``log-weight = content - brake * distance``.

The axes are named alike in every file:

====  ==========================  ====  ====================================
B     batch (independent units)   T     queries (outputs)
S     sources                     H     heads (or groups of channels)
K     width of one head           D     model width
N     state size                  L     layers
M     members of a sweep          V     vocabulary
====  ==========================  ====  ====================================

A router is a Linen module with pure stages and one call::

    features = router.project(x)                      # queries, keys, values, ...
    routing  = router.route(features, geometry, knobs)  # exact weights: diagnostics
    y        = router.mix(features, geometry, knobs)    # the fast path: training
    y, routing = router(x, geometry, knobs)           # both; an unused one is free

The fast path itself has three steps, of which only the second moves anything between
positions. They are separate so that the contract can measure, from `combine` alone,
which weights the fast path applies, and compare them with those that `route` reports::

    values = router.values(features)                  # [B, S, H, V]
    mixed  = router.combine(features, values, geometry, knobs)  # sum_j A_ij v_j
    y      = router.finish(features, mixed)           # norm, gate, output matrix

Knobs are passed as call arguments, float32 arrays in a flat dict, and are never module
attributes. One compiled program therefore serves every value, and initialisation never
depends on them.
"""

import functools
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from flax import struct

from routers.geometry import Array as Array
from routers.geometry import Edges as Edges
from routers.geometry import Geometry as Geometry
from routers.geometry import causal_geometry as causal_geometry

Knobs = Mapping[str, Array]


ROLES = ("query", "key", "channel_key", "value", "depth_key", "depth_value")
"""Every role that a feature can have, see `Router.roles`."""


class Knob(NamedTuple):
    """A traced coefficient of a router, declared as data.

    Attributes:
      neutral: Value at which the router is the published one (not always 0).
      low: Least meaningful value.
      high: Greatest meaningful value, ``inf`` where there is no upper limit.
      meaning: One line for tables and error messages, including the limits. A limit
        that is approached but not reached is written "towards inf"; "at inf" promises
        that the value ``inf`` itself works.
    """

    neutral: float
    low: float
    high: float
    meaning: str


class Routing(struct.PyTreeNode):
    """How much weight every query gave to every source in one call of a router.

    Attributes:
      weights: Routing weights, float32 ``[B, H, T, S]``, non-negative; each row sums
        to ``1 - null_mass``. For signed routers, the row-normalised magnitudes. If
        the channels of a head have matrices of their own, the mean over channels.
      null_mass: Mass that went to no source, ``[B, H, T]``; None if always zero.
      cancellation: Ratio ``|sum_j A_ij| / sum_j |A_ij|`` of a signed router,
        ``[B, H, T]``; None where weights cannot be negative.
      key_norms: Norms of the keys as they enter the score, ``[B, H, S]``; None where
        the router has no keys.
      value_norms: Norms of the values, ``[B, H, S]``; None where the router has no
        values.
      written_norms: Norms of what the values write to the output, ``|W_O v|``,
        ``[B, H, S]``; None where the router has no output matrix, or something that is
        not linear in front of it.
      channel_mass: Column sums ``sum_i A_ij`` of every channel's own weights,
        ``[B, H, V, S]``; None where the channels of a head share one matrix. A router
        adds them up while it averages over channels, because the matrices themselves
        would not fit: V of them, T by S.
    """

    weights: Array
    null_mass: Array | None = None
    cancellation: Array | None = None
    key_norms: Array | None = None
    value_norms: Array | None = None
    written_norms: Array | None = None
    channel_mass: Array | None = None


class Router(nn.Module):
    """Base of all routers. Subclasses define the stages and declare the data below.

    Class attributes:
      knobs: Every knob of the router by name; at least ``brake`` and ``content``.
        ``content`` is 1 for the score as it is and 0 for a log-content of zero, so
        that the brake-only and uniform nulls run the same code at other knob values.
      kinds: Geometry kinds that the router accepts.
      slot: Place in the backbone, ``"token"`` (mixes positions) or ``"depth"``.
      reach: Largest distance beyond that of the nearest source at which sources keep
        mass as ``brake -> inf``; 0 gives the identity on causal geometry.
      roles: Dotted paths to the features that the diagnostic nulls change and that
        the contribution measures need, by the names in `ROLES`: ``query`` and ``key``
        (``[B, S, ..., K]``, the two factors of the score), ``channel_key`` (one number
        per channel), ``value`` (``[B, S, H, K]``, only where a head's output is its
        reported weights times these), ``depth_key`` and ``depth_value``. Whatever
        needs a role that is left out is reported as not defined. Features with roles
        are a `flax.struct.PyTreeNode`, so that a field can be replaced.
      rescaled_rows: Whether the rows that `route` reports are those of `combine`
        divided by their sums. Rows of a signed router always are.

    Attributes:
      width: Width D of the input and the output.
      config: The router's own settings, a frozen dataclass with a default.
    """

    width: int
    config: Any = None

    knobs: ClassVar[Mapping[str, Knob]]
    kinds: ClassVar[frozenset[str]]
    slot: ClassVar[str] = "token"
    reach: ClassVar[float] = 0.0
    roles: ClassVar[Mapping[str, str]] = {}
    rescaled_rows: ClassVar[bool] = False

    def project(self, x: Array) -> Any:
        """Maps ``x [B, S, D]`` to the router's own named features.

        It works position by position, because what it moves between positions appears
        in no routing matrix; `lookback` declares exceptions.
        """
        raise TypeError(f"{type(self).__name__} does not define project")

    def lookback(self) -> int:
        """Number of earlier positions that `project` reads at each position."""
        return 0

    def route(self, features: Any, geometry: Geometry, knobs: Knobs) -> Routing:
        """The exact effective routing matrix, for diagnostics and nulls."""
        raise TypeError(f"{type(self).__name__} does not define route")

    def values(self, features: Any) -> Array:
        """The values that are mixed, ``[B, S, H, V]``; by default the role ``value``.

        H and V are those of `combine`. Heads share the axis with groups of channels.
        """
        if "value" not in self.roles:
            raise TypeError(f"{type(self).__name__} does not define values")
        return read_role(features, self.roles["value"])

    def combine(
        self, features: Any, values: Array, geometry: Geometry, knobs: Knobs
    ) -> Array:
        """The fast path: ``sum_j A_ij v_j [B, T, H, V]``, linear in the values.

        Args:
          features: From `project`; only the matrix A is computed from them.
          values: Values ``[B, S, H, V]``: those of `values`, or others.
          geometry: Geometry of a kind that the router accepts.
          knobs: Every knob of the router.
        """
        raise TypeError(f"{type(self).__name__} does not define combine")

    def finish(self, features: Any, mixed: Array) -> Array:
        """The output ``y [B, T, D]`` from mixed values, position by position.

        By default heads are placed side by side, without an output matrix.
        """
        del features
        return mixed.reshape(*mixed.shape[:2], -1)

    def mix(self, features: Any, geometry: Geometry, knobs: Knobs) -> Array:
        """The output ``y [B, T, D]`` by the fast path, for training."""
        values = self.values(features)
        return self.finish(features, self.combine(features, values, geometry, knobs))

    def mix_weights(self, features: Any, weights: Array) -> Array:
        """The output ``y [B, T, D]`` if given weights took the place of the router's.

        Args:
          features: From `project`.
          weights: Weights of any sign, ``[B, H, T, S]``, or ``[B, H, V, T, S]`` with a
            matrix for every channel.
        """
        values = self.values(features)
        axes = "bhts" if weights.ndim == 4 else "bhvts"
        mixed = jnp.einsum(f"{axes},bshv->bthv", weights, values.astype(weights.dtype))
        return self.finish(features, mixed.astype(values.dtype))

    def explicit(self, features: Any, geometry: Geometry, knobs: Knobs) -> Array:
        """The output ``y [B, T, D]`` through a matrix that is computed on its own.

        Optional, for signed routers: shares do not determine the scale of their rows,
        so the contract compares `mix` with this as well. Where weights are not signed
        it uses `mix_weights` and the reported weights.
        """
        raise TypeError(f"{type(self).__name__} does not define explicit")

    def circuits(self) -> Array | None:
        """``W_O W_V`` of every head, ``[H, D, D]``, for ``y = W_O W_V x``; or None.

        It exists only where the output is linear in the mixed values.
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
          x: Input ``[B, S, D]``.
          geometry: Geometry of a kind that the router accepts.
          knobs: Every knob of the router, float32 scalars or ``[H]``.

        Returns:
          ``y [B, T, D]`` and the `Routing`; XLA removes whichever is not used.

        Raises:
          ValueError: The geometry's kind, an axis or the names of the knobs do not fit.
        """
        check_call(self, x, geometry, knobs)
        y = self.forward(x, geometry, knobs)
        return y, self.route(self.project(x), geometry, knobs)


def check_call(router: Router, x: Array, geometry: Geometry, knobs: Knobs) -> None:
    """Raises ValueError, naming both sides, if a call does not fit its router."""
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
            f"{name}: knobs given are {sorted(knobs)}, declared are "
            f"{sorted(router.knobs)}"
        )


def read_role(features: Any, path: str) -> Array:
    """The field of a router's features at a dotted path."""
    return functools.reduce(getattr, path.split("."), features)


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
    """``[T, S]`` or ``[B, T, S]``, shaped to broadcast against ``[B, H, T, S]``."""
    return array.reshape(-1, 1, *array.shape[-2:])


def split_heads(x: Array, batch: int, heads: int) -> Array:
    """``x [B, S, D]``, or flattened ``[B * S, D]``, as ``[B, S, H, K]``."""
    return x.reshape(batch, -1, heads, x.shape[-1] // heads)


def head_norms(x: Array) -> Array:
    """Euclidean norms of ``[B, S, H, K]`` over K, float32 ``[B, H, S]``."""
    return jnp.linalg.norm(x.astype(jnp.float32), axis=-1).swapaxes(1, 2)
