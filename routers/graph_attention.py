"""Graph attention: a softmax over neighbours, with an additive hop brake.

    v1 (GAT)    s_ij = LeakyReLU(a_t . W x_i + a_s . W x_j),       value W x_j
    v2 (GATv2)  s_ij = a . LeakyReLU(W_t x_i + W_s x_j),           value W_s x_j
    A_ij = softmax_{j in N(i) or j = i}(c s_ij - beta b_ij)

Node i receives from j. The brake ``beta`` multiplies the hop distance ``b_ij``.
Limits: at 0 the routing is pure content over the mask, which is the published layer
(the brake is our addition, so its neutral value is 0); as the brake grows the matrix
tends to the identity. The mask lets every node read itself. On a CPU, training follows
the geometry's list of edges where there is one, so that its cost grows with E instead
of T x S.

v1 is *static*: over one set of sources the ranking of ``s_ij`` in j is the same for
every i. It is therefore prone to hubs by construction and should be compared with v2.

Neither score is a product of a query with a key, so ``norm_awareness`` and
``key_normalization`` have nothing to act on and are not declared. The routing reports
no key norms: the source features are the values, whose norms it does report.

Heads are concatenated and get a bias, without an output projection, as in PyTorch
Geometric with ``concat=True``. There, v2 also adds a bias to both projections. It is
kept here because the null source makes its effect differ from that of the output bias.
Dropout and edge features are left out, and all matrices are drawn from a normal
distribution instead of Glorot's.

References: Velickovic et al. 2018 (arXiv 1710.10903); Brody et al. 2022, GATv2
(arXiv 2105.14491); conventions as in PyTorch Geometric's code.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from routers.attention import output_value_product
from routers.base import (
    Array,
    Edges,
    Geometry,
    Knob,
    Knobs,
    Router,
    Routing,
    head_norms,
    per_batch,
    per_head,
    split_heads,
)
from routers.edges import edge_softmax, read_edges
from routers.graph_scores import dynamic_scores, static_scores, static_terms
from routers.softmax import masked_softmax
from routers.validation import head_width, require_at_least, require_choice

VERSIONS = ("v1", "v2")


@dataclasses.dataclass(frozen=True)
class GraphAttentionConfig:
    """Static settings of `GraphAttention`.

    Attributes:
      version: ``"v1"`` (GAT) or ``"v2"`` (GATv2).
      heads: Number of heads H; must divide the model width.
      negative_slope: Slope of the LeakyReLU below 0.
      init_scale: Standard deviation of every initial weight matrix and score vector.
      dtype: Type of the matrix products; scores and softmax are always float32.
    """

    version: str = "v1"
    heads: int = 1
    negative_slope: float = 0.2
    init_scale: float = 0.02
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        require_choice(VERSIONS, version=self.version)
        require_at_least(1, heads=self.heads)


class GraphFeatures(struct.PyTreeNode):
    """Projected nodes, each ``[B, S, H, K]``; in v1 all three are the same.

    Attributes:
      target: Features of a node as receiver, in the score.
      source: Features of a node as sender, in the score.
      value: Features that a node sends.
    """

    target: Array
    source: Array
    value: Array


class GraphAttention(Router):
    """Multi-head graph attention; see the module docstring for the equation."""

    config: GraphAttentionConfig = GraphAttentionConfig()

    kinds: ClassVar[frozenset[str]] = frozenset({"graph"})
    roles: ClassVar[Mapping[str, str]] = {
        "query": "target",
        "key": "source",
        "value": "value",
    }
    knobs: ClassVar[Mapping[str, Knob]] = {
        "brake": Knob(
            0.0,
            0.0,
            math.inf,
            "hop penalty; at 0 pure content, towards inf the identity",
        ),
        "content": Knob(
            1.0, 0.0, math.inf, "scale of the score; at 0 only the brake is left"
        ),
        "null_sink": Knob(
            0.0, 0.0, math.inf, "weight of a null source; at 1 softmax-off-by-one"
        ),
    }

    def setup(self) -> None:
        """Declares projections (in v2 sources, then targets), score and bias."""
        width, config = self.width, self.config
        heads = config.heads
        normal = nn.initializers.normal(config.init_scale)
        vectors = (heads, head_width(width, heads))
        if config.version == "v1":
            self.kernel = self.param("kernel", normal, (width, width))
            self.score = self.param("score", normal, (2, *vectors))
        else:
            self.kernel = self.param("kernel", normal, (width, 2 * width))
            self.kernel_bias = self.param(
                "kernel_bias", nn.initializers.zeros, (2 * width,)
            )
            self.score = self.param("score", normal, vectors)
        self.bias = self.param("bias", nn.initializers.zeros, (width,))

    def project(self, x: Array) -> GraphFeatures:
        """Receivers, senders and values of ``x [B, S, D]``, each ``[B, S, H, K]``."""
        batch, _, width = x.shape
        dtype = self.config.dtype
        flat = x.reshape(-1, width).astype(dtype) @ self.kernel.astype(dtype)
        if self.config.version == "v2":
            flat = flat + self.kernel_bias.astype(dtype)[None]
        parts = [
            split_heads(part, batch, self.config.heads)
            for part in jnp.split(flat, flat.shape[-1] // width, axis=-1)
        ]
        return GraphFeatures(target=parts[-1], source=parts[0], value=parts[0])

    def circuits(self) -> Array:
        """Value matrix of every head, ``[H, D, D]``; heads write their own channels."""
        width, heads = self.width, self.config.heads
        return output_value_product(self.kernel[:, :width], jnp.eye(width), heads)

    def route(
        self, features: GraphFeatures, geometry: Geometry, knobs: Knobs
    ) -> Routing:
        """The routing matrix, its null mass, and the norms of the values."""
        weights = self._weights(features, geometry, knobs)
        return Routing(
            weights=weights,
            null_mass=1.0 - jnp.sum(weights, axis=-1),
            value_norms=head_norms(features.value),
        )

    def combine(
        self, features: GraphFeatures, values: Array, geometry: Geometry, knobs: Knobs
    ) -> Array:
        """Mixed values, along the edges if they are listed, else by the matrix."""
        arguments = (features, values, geometry, knobs)
        if geometry.edges is None:
            return self._by_matrix(*arguments)
        # On a TPU the list would take 15 times as long (600 digits, by `onset plan`).
        return jax.lax.platform_dependent(
            *arguments, cpu=self._along_edges, default=self._by_matrix
        )

    def finish(self, features: GraphFeatures, mixed: Array) -> Array:
        """``y [B, T, D]``: heads side by side, plus a bias."""
        flat = mixed.reshape(*mixed.shape[:2], self.width)
        return flat + self.bias.astype(flat.dtype)[None, None]

    def _by_matrix(
        self, features: GraphFeatures, values: Array, geometry: Geometry, knobs: Knobs
    ) -> Array:
        weights = self._weights(features, geometry, knobs)
        return jnp.einsum("bhts,bshk->bthk", weights.astype(values.dtype), values)

    def _along_edges(
        self, features: GraphFeatures, values: Array, geometry: Geometry, knobs: Knobs
    ) -> Array:
        edges = geometry.edges
        assert edges is not None
        logits = knobs["content"] * self._edge_scores(features, edges)
        distance = geometry.distance[edges.target, edges.source]
        logits = logits - knobs["brake"] * distance[:, None]
        queries = features.target.shape[1]
        weights = edge_softmax(logits, edges, queries, knobs["null_sink"])
        return read_edges(weights, values, edges, queries)

    def _weights(
        self, features: GraphFeatures, geometry: Geometry, knobs: Knobs
    ) -> Array:
        scores = static_scores if self.config.version == "v1" else dynamic_scores
        content = scores(
            features.target, features.source, self.score, self.config.negative_slope
        )
        distance, mask = per_batch(geometry.distance), per_batch(geometry.mask)
        logits = per_head(knobs["content"]) * content
        logits = logits - per_head(knobs["brake"]) * distance
        return masked_softmax(logits, mask, per_head(knobs["null_sink"]))

    def _edge_scores(self, features: GraphFeatures, edges: Edges) -> Array:
        """The version's score of every edge, float32 ``[B, E, H]``."""
        target, source = features.target, features.source
        slope = self.config.negative_slope
        if self.config.version == "v1":
            received, sent = static_terms(target, source, self.score)
            return nn.leaky_relu(
                received[:, edges.target] + sent[:, edges.source], slope
            )
        target, source = target.astype(jnp.float32), source.astype(jnp.float32)
        channels = nn.leaky_relu(
            target[:, edges.target] + source[:, edges.source], slope
        )
        return jnp.einsum("behk,hk->beh", channels, self.score)
