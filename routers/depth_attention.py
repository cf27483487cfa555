"""Attention residuals: a softmax over earlier states in place of the residual sum.

    A_s = softmax_s( c w . (RMSNorm(v_s) o g) - beta b_s ),      y = sum_s A_s v_s

One call serves one sublayer. The sources are the states that earlier sublayers left,
every token is its own batch element, and there is a single query ``w``, which the
sublayer learns and which is the same for all tokens. Keys are normalised, values are
not, and the score is not divided by ``sqrt(D)``.

The brake ``beta`` multiplies ``b_s``, given by `depth_geometry`: how far back the
source lies, or 0 for the last source and 1 for all others (the published recency
bias). Limits: at 0 the routing is pure content, the published form without its bias,
and this is the neutral value here; as the brake grows only the last source is left.
Where sources are cumulative states, that is the ordinary residual stream; where they
are sublayer *outputs*, it is the last output without any residual.

``key_normalization`` has the neutral value 1, since RMS-normed keys are the published
form; 0 leaves the keys raw. ``norm_awareness`` is not declared: at the neutral value
the norms of keys differ only through the gain, so the knob would have almost nothing
to act on.

It differs from the published code in two ways. Queries start at zero, so routing starts
uniform (there they are drawn with standard deviation .02, which at D = 1024 is already
far from uniform), and the RMS has an epsilon of 1e-12 instead of 1e-6. If the same
state occurs twice among the sources, the caller must merge the two.

References: attention residuals as in wdlctc/open-attention-residuals.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from flax import struct

from routers.base import (
    Array,
    Geometry,
    Knob,
    Knobs,
    Router,
    Routing,
    per_batch,
    per_head,
)
from routers.softmax import masked_softmax
from routers.validation import require_at_least, require_choice

DISTANCES = ("steps", "last")


def depth_geometry(sources: int, distance: str = "steps") -> Geometry:
    """Geometry of one sublayer that may read every earlier source.

    Args:
      sources: Number of sources S, the oldest first.
      distance: ``"steps"``, the number of sources back (0 for the last), or ``"last"``,
        which is 0 for the last source and 1 for all others.

    Returns:
      A geometry of kind ``"depth"`` with distance and mask ``[1, S]``.

    Raises:
      ValueError: There is no source, or the distance is unknown.
    """
    require_at_least(1, sources=sources)
    require_choice(DISTANCES, distance=distance)
    back = jnp.arange(sources - 1, -1, -1, dtype=jnp.float32)[None]
    return Geometry(
        distance=back if distance == "steps" else jnp.minimum(back, 1.0),
        mask=jnp.ones((1, sources), bool),
        kind="depth",
    )


@dataclasses.dataclass(frozen=True)
class DepthAttentionConfig:
    """Static settings of `DepthAttention`.

    Attributes:
      dtype: Type of the weighted sum; scores and softmax are always float32.
      epsilon: What is added to the mean square of a key before its root is taken.
    """

    dtype: Any = jnp.float32
    epsilon: float = 1e-12


class DepthFeatures(struct.PyTreeNode):
    """Key and value ``[B, S, D]``: the sources themselves, not yet normalised."""

    key: Array
    value: Array


def inverse_rms(key: Array, strength: Array, epsilon: float) -> Array:
    """``rms(k)^-nu`` of ``key [B, S, D]``, float32 ``[B, S]``; nu: scalar or [1]."""
    mean_square = jnp.mean(key.astype(jnp.float32) ** 2, axis=-1) + epsilon
    return jnp.exp(-0.5 * jnp.reshape(strength, ()) * jnp.log(mean_square))


def scores(
    key: Array, query: Array, gain: Array, strength: Array, epsilon: float
) -> Array:
    """``w . (k rms(k)^-nu o g)`` of ``key [B, S, D]``, float32 ``[B, S]``.

    It is computed as ``(w o g) . k`` times one number per source, so that normalised
    keys, which are as large as all sources together, never exist.
    """
    product = key.astype(jnp.float32) @ (query * gain)
    return product * inverse_rms(key, strength, epsilon)


class DepthAttention(Router):
    """One sublayer's attention over earlier states; see the module docstring."""

    config: DepthAttentionConfig = DepthAttentionConfig()

    slot: ClassVar[str] = "depth"
    kinds: ClassVar[frozenset[str]] = frozenset({"depth"})
    roles: ClassVar[Mapping[str, str]] = {
        "key": "key",
        "depth_key": "key",
        "depth_value": "value",
    }
    knobs: ClassVar[Mapping[str, Knob]] = {
        "brake": Knob(
            0.0,
            0.0,
            math.inf,
            "depth penalty; at 0 pure content, towards inf the last source",
        ),
        "content": Knob(
            1.0, 0.0, math.inf, "scale of the score; at 0 only the brake is left"
        ),
        "key_normalization": Knob(
            1.0, 0.0, 1.0, "log-interpolates from raw keys at 0 to RMS-normed at 1"
        ),
        "null_sink": Knob(
            0.0, 0.0, math.inf, "weight of a null source; at 1 softmax-off-by-one"
        ),
    }

    def setup(self) -> None:
        """Declares the sublayer's query and the gain of its keys."""
        self.query = self.param("query", nn.initializers.zeros, (self.width,))
        self.gain = self.param("gain", nn.initializers.ones, (self.width,))

    def project(self, x: Array) -> DepthFeatures:
        """Sources ``x [B, S, D]``, the oldest first, as keys and values."""
        return DepthFeatures(key=x, value=x.astype(self.config.dtype))

    def route(
        self, features: DepthFeatures, geometry: Geometry, knobs: Knobs
    ) -> Routing:
        """Weights ``[B, 1, 1, S]``, null mass, and the norms of keys and values."""
        weights = self._weights(features, geometry, knobs)
        gained = features.key.astype(jnp.float32) * self.gain[None, None]
        strength = knobs["key_normalization"]
        scale = inverse_rms(features.key, strength, self.config.epsilon)
        value = features.value.astype(jnp.float32)
        return Routing(
            weights=weights,
            null_mass=1.0 - jnp.sum(weights, axis=-1),
            key_norms=(jnp.linalg.norm(gained, axis=-1) * scale)[:, None],
            value_norms=jnp.linalg.norm(value, axis=-1)[:, None],
        )

    def values(self, features: DepthFeatures) -> Array:
        """The sources as one head, ``[B, S, 1, D]``."""
        return features.value[:, :, None]

    def combine(
        self, features: DepthFeatures, values: Array, geometry: Geometry, knobs: Knobs
    ) -> Array:
        """``[B, 1, 1, D]`` by the matrix, which is small: one row of S per token."""
        weights = self._weights(features, geometry, knobs)
        return _read(weights, values[:, :, 0])[:, :, None]

    def mix(self, features: DepthFeatures, geometry: Geometry, knobs: Knobs) -> Array:
        """``y [B, 1, D]``: as by the three steps, without an axis of heads."""
        return _read(self._weights(features, geometry, knobs), features.value)

    def _weights(
        self, features: DepthFeatures, geometry: Geometry, knobs: Knobs
    ) -> Array:
        settings = knobs["key_normalization"], self.config.epsilon
        score = scores(features.key, self.query, self.gain, *settings)
        score = score[:, None, None]  # [B, 1, 1, S]
        distance, mask = per_batch(geometry.distance), per_batch(geometry.mask)
        logits = (
            per_head(knobs["content"]) * score - per_head(knobs["brake"]) * distance
        )
        return masked_softmax(logits, mask, per_head(knobs["null_sink"]))


def _read(weights: Array, value: Array) -> Array:
    return jnp.einsum("bts,bsd->btd", weights[:, 0].astype(value.dtype), value)
