"""Hyper-connections: parallel residual streams mixed by a doubly stochastic matrix.

    A = Sinkhorn(exp(c Z - beta b)),   y_i = sum_j A_ij x_j,   b_ij = 1[i != j]

``-beta b`` equals ``+beta I`` up to a constant that Sinkhorn removes. ``Z`` is a
learned matrix, plus, if ``dynamic``, a part computed from the RMS-normed mean of the
streams. The brake ``beta`` multiplies ``b``. Limits: at 0 the routing is pure content
(the neutral value, since the published form has no brake); as the brake grows the
matrix tends to the identity, and streams do not mix.

Sinkhorn runs a fixed number of iterations in the log domain, rows first and *columns
last*. Every column of A therefore sums to 1 up to rounding for any Z, so no stream can
send more than its share and a hub is impossible. That makes the router the negative
control for hubs, though not for collapse: a product of many such matrices tends to
1/n. Rows sum to 1 only as far as the iterations have converged. The output uses A
itself; the reported weights are A with its rows normalised, as the contract requires.
Their columns are exact only where Sinkhorn has converged, so column mass should be
taken from `matrix`.

Only the stream-mixing matrix is a router. Reading a sublayer's input from the streams
and writing its output back is the task of the backbone. The published dynamic part
reads all streams side by side and is scaled by a small learned scalar; here it reads
their mean, which does not grow with n, and starts at zero.

References: Zhu et al. 2024, hyper-connections (arXiv 2409.19606); Xie et al. 2025,
mHC (arXiv 2512.24880), with 20 iterations. The brake is ours.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from routers.attention import normalize_keys
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
from routers.validation import require_at_least

LEAST_STREAMS = 4
"""Least number of streams. With fewer, uniform routing, 1/n, already exceeds the hub
threshold .3."""


def stream_geometry(streams: int) -> Geometry:
    """Every stream may read every stream, itself at distance 0, others at 1.

    Args:
      streams: Number of streams n.

    Returns:
      A geometry of kind ``"streams"`` with distance and mask ``[n, n]``.

    Raises:
      ValueError: There are too few streams to tell a hub from uniform routing.
    """
    require_at_least(LEAST_STREAMS, streams=streams)
    return Geometry(
        distance=1.0 - jnp.eye(streams, dtype=jnp.float32),
        mask=jnp.ones((streams, streams), bool),
        kind="streams",
    )


@dataclasses.dataclass(frozen=True)
class HyperConnectionsConfig:
    """Static settings of `HyperConnections`.

    Attributes:
      iterations: Number of Sinkhorn iterations, each a row step and a column step.
      dynamic: Whether Z also depends on the input, per token.
      init_scale: Standard deviation of the initial static Z; the dynamic part starts
        at 0.
    """

    iterations: int = 20
    dynamic: bool = False
    init_scale: float = 0.02

    def __post_init__(self) -> None:
        require_at_least(1, iterations=self.iterations)


class StreamFeatures(struct.PyTreeNode):
    """The content of the mixing matrix, and the streams.

    Attributes:
      content: Z, float32 ``[B, 1, n, n]``, or ``[1, 1, n, n]`` where it is static.
      value: Streams ``[B, n, D]``.
    """

    content: Array
    value: Array


def sinkhorn(logits: Array, iterations: int) -> Array:
    """Doubly stochastic scaling of ``exp(logits [..., T, S])``, columns last.

    Args:
      logits: Logits, float32; minus infinity where nothing may flow, but never in a
        whole row or a whole column.
      iterations: Number of times that rows, then columns, are normalised.

    Returns:
      A non-negative matrix. Its columns sum to 1 up to rounding, its rows as far as
      the iterations have converged.
    """

    def step(log_matrix: Array, _: None) -> tuple[Array, None]:
        for axis in (-1, -2):
            log_matrix = jax.nn.log_softmax(log_matrix, axis=axis)
        return log_matrix, None

    log_matrix, _ = jax.lax.scan(step, logits, length=iterations)
    return jnp.exp(log_matrix)


class HyperConnections(Router):
    """Doubly stochastic stream mixing; see the module docstring for the equation."""

    config: HyperConnectionsConfig = HyperConnectionsConfig()

    slot: ClassVar[str] = "depth"
    kinds: ClassVar[frozenset[str]] = frozenset({"streams"})
    rescaled_rows: ClassVar[bool] = True
    knobs: ClassVar[Mapping[str, Knob]] = {
        "brake": Knob(
            0.0,
            0.0,
            math.inf,
            "mixing penalty; at 0 pure content, towards inf the identity",
        ),
        "content": Knob(
            1.0, 0.0, math.inf, "scale of the score; at 0 only the brake is left"
        ),
    }

    @nn.compact
    def project(self, x: Array) -> StreamFeatures:
        """Z and the streams of ``x [B, n, D]``; n determines the shape of Z."""
        _, streams, width = x.shape
        require_at_least(LEAST_STREAMS, streams=streams)
        normal = nn.initializers.normal(self.config.init_scale)
        content = self.param("content", normal, (streams, streams))[None]
        if self.config.dynamic:
            kernel = self.param(
                "dynamic", nn.initializers.zeros, (width, streams * streams)
            )
            mean = jnp.mean(x.astype(jnp.float32), axis=1)  # [B, D]
            normed = normalize_keys(mean, jnp.ones(()))
            content = content + (normed @ kernel).reshape(-1, streams, streams)
        return StreamFeatures(content=content[:, None], value=x)

    def matrix(
        self, features: StreamFeatures, geometry: Geometry, knobs: Knobs
    ) -> Array:
        """The mixing matrix A ``[B, 1, n, n]``: columns exact, rows approximate.

        B is 1 where Z is static, so that Sinkhorn then runs once for all tokens.
        """
        distance, mask = per_batch(geometry.distance), per_batch(geometry.mask)
        logits = per_head(knobs["content"]) * features.content
        logits = logits - per_head(knobs["brake"]) * distance
        logits = jnp.where(mask, logits, -jnp.inf)
        return sinkhorn(logits, self.config.iterations)

    def route(
        self, features: StreamFeatures, geometry: Geometry, knobs: Knobs
    ) -> Routing:
        """Row-normalised weights ``[B, 1, n, n]`` and the norms of the streams."""
        matrix = self.matrix(features, geometry, knobs)
        weights = matrix / jnp.sum(matrix, axis=-1, keepdims=True)
        value = features.value.astype(jnp.float32)
        batch = value.shape[0]
        return Routing(
            weights=jnp.broadcast_to(weights, (batch, *weights.shape[1:])),
            value_norms=jnp.linalg.norm(value, axis=-1)[:, None],
        )

    def values(self, features: StreamFeatures) -> Array:
        """The streams as one head, ``[B, n, 1, D]``."""
        return features.value[:, :, None]

    def combine(
        self, features: StreamFeatures, values: Array, geometry: Geometry, knobs: Knobs
    ) -> Array:
        """``A x`` as ``[B, n, 1, D]``; a static A is one matrix for all tokens."""
        matrix = self.matrix(features, geometry, knobs)[:, 0]
        value = values[:, :, 0]
        matrix = matrix.astype(value.dtype)
        if matrix.shape[0] == 1:
            return jnp.einsum("ts,bsd->btd", matrix[0], value)[:, :, None]
        return jnp.einsum("bts,bsd->btd", matrix, value)[:, :, None]

    def explicit(
        self, features: StreamFeatures, geometry: Geometry, knobs: Knobs
    ) -> Array:
        """``y [B, n, D]`` through A, row by row (not the row-normalised weights)."""
        matrix = self.matrix(features, geometry, knobs)[:, 0]
        value = features.value
        products = matrix.astype(value.dtype)[..., None] * value[:, None]
        return jnp.sum(products, axis=2)
