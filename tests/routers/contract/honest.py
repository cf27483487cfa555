"""A small correct router, and a way to make it wrong in many ways at once.

A kind of fault is a `Family`: a list of variants and the stages in which they act. All
variants of a family are branches of one compiled program, chosen by the parameter
``variant`` (0 is the correct router), so that ten variants cost as much as one.
"""

import dataclasses
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from routers.base import (
    Array,
    Knob,
    Router,
    Routing,
    head_norms,
    per_batch,
    per_head,
    split_heads,
)
from routers.softmax import masked_softmax

WIDTH = 4
Change = Callable[[SimpleNamespace], Array]


@dataclasses.dataclass(frozen=True)
class HonestConfig:
    """Settings of `Honest`, and the family whose variants it can turn into."""

    heads: int = 2
    family: str = ""


class HonestFeatures(struct.PyTreeNode):
    """Query, key and value, each ``[B, S, H, K]``."""

    query: Array
    key: Array
    value: Array


@dataclasses.dataclass(frozen=True)
class Family:
    """Variants of one kind of fault.

    Attributes:
      check: Name of the check that must catch each of them.
      stages: Where they act: ``route``, ``combine``, ``project``, ``values``,
        ``finish``, ``norms`` or ``knobs``.
      variants: Functions of a scene (see `Honest.scene`) by name, that return what
        takes the place of the stage's result.
      kind: Geometry kind on which they are examined.
    """

    check: str
    stages: tuple[str, ...]
    variants: Mapping[str, Change]
    kind: str = "causal"


FAMILIES: dict[str, Family] = {}


class Honest(Router):
    """Softmax attention with a distance brake and a null source."""

    config: HonestConfig = HonestConfig()

    kinds: ClassVar = frozenset({"causal", "graph"})
    roles: ClassVar = {"query": "query", "key": "key", "value": "value"}
    knobs: ClassVar = {
        "brake": Knob(0.0, 0.0, float("inf"), "penalty; towards inf the identity"),
        "content": Knob(1.0, 0.0, float("inf"), "scale of the score"),
        "null_sink": Knob(0.0, 0.0, float("inf"), "weight of a null source"),
    }

    def setup(self):
        """Declares one matrix, and the number of the variant."""
        normal = jax.nn.initializers.normal(0.7)
        self.qkv = self.param("qkv", normal, (self.width, 3 * self.width))
        self.variant = self.param("variant", jax.nn.initializers.zeros, ())

    def project(self, x):
        """Query, key and value."""
        parts = jnp.split(x @ self.qkv.astype(x.dtype), 3, axis=-1)
        parts = [split_heads(part, len(x), self.config.heads) for part in parts]
        features = HonestFeatures(*parts)
        return self.change("project", features, features=features, x=x)

    def softmax(self, features, geometry, knobs):
        """The correct weights."""
        query, key = (f.astype(jnp.float32) for f in (features.query, features.key))
        score = jnp.einsum("bthk,bshk->bhts", query, key)
        logits = per_head(knobs["content"]) * score
        logits = logits - per_head(knobs["brake"]) * per_batch(geometry.distance)
        mask = per_batch(geometry.mask)
        return masked_softmax(logits, mask, per_head(knobs["null_sink"]))

    def weights(self, stage, features, geometry, knobs):
        """The weights of a stage, right or wrong."""
        return self.change(
            stage,
            self.softmax(features, geometry, knobs),
            features=features,
            geometry=geometry,
            knobs=dict(knobs),
        )

    def route(self, features, geometry, knobs):
        """The weights, and the norms of keys and values."""
        weights = self.weights("route", features, geometry, knobs)
        norms = head_norms(features.key)
        return Routing(
            weights=weights,
            null_mass=1 - weights.sum(-1),
            key_norms=self.change("norms", norms, features=features),
            value_norms=head_norms(features.value),
        )

    def values(self, features):
        """The values, right or wrong."""
        return self.change("values", features.value, features=features)

    def combine(self, features, values, geometry, knobs):
        """The weights times the values."""
        weights = self.weights("combine", features, geometry, knobs)
        return jnp.einsum("bhts,bshk->bthk", weights.astype(values.dtype), values)

    def finish(self, features, mixed):
        """Heads side by side."""
        mixed = self.change("finish", mixed, features=features)
        return mixed.reshape(*mixed.shape[:2], -1)

    def change(self, stage: str, right: Any, **parts: Any) -> Any:
        """The result of a stage, or what the chosen variant puts in its place."""
        family = FAMILIES.get(self.config.family)
        if family is None or stage not in family.stages:
            return right

        def scene(right: Any, parts: Any) -> SimpleNamespace:
            # softmax(brake=..., geometry=...): the correct weights for other arguments
            def softmax(**new: Any) -> Array:
                named = {k: new.pop(k, parts[k]) for k in ("features", "geometry")}
                return self.softmax(*named.values(), parts["knobs"] | new)

            return SimpleNamespace(right=right, softmax=softmax, **parts)

        branches = [lambda right, parts: right]
        branches += [
            lambda right, parts, change=change: jax.tree.map(
                lambda new, old: jnp.broadcast_to(new, old.shape).astype(old.dtype),
                change(scene(right, parts)),
                right,
            )
            for change in family.variants.values()
        ]
        chosen = jnp.clip(jnp.round(self.variant), 0, len(branches) - 1)
        return jax.lax.switch(chosen.astype(jnp.int32), branches, right, parts)


def family(
    name: str, check: str, stages: str, kind: str = "causal"
) -> Callable[[Mapping[str, Change]], None]:
    """Registers the variants of one kind of fault."""

    def register(variants: Mapping[str, Change]) -> None:
        FAMILIES[name] = Family(check, tuple(stages.split()), variants, kind)

    return register


def where(geometry, **changed):
    return geometry.replace(**changed)


def position(s):
    """Queries ``[T, 1]`` and sources ``[1, S]`` of the weights."""
    queries, sources = s.right.shape[-2:]
    return jnp.arange(queries)[:, None], jnp.arange(sources)[None]


def shares(weights):
    return weights / jnp.maximum(weights.sum(-1, keepdims=True), 1e-30)


def row(s, index, other):
    """The weights with one query's row replaced."""
    query, _ = position(s)
    return jnp.where(query == index, other, s.right)


def flat(s):
    return shares(jnp.where(s.geometry.mask, jnp.ones_like(s.right), 0.0))


def open_mask(s):
    return s.softmax(geometry=where(s.geometry, mask=jnp.ones_like(s.geometry.mask)))


def length(s):
    return s.right.shape[-1]


def scaled_score(s, factor):
    return s.softmax(content=s.knobs["content"] * factor)


def with_keys(s, key):
    return s.softmax(features=s.features.replace(key=key))
