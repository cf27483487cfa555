"""A router with everything that a check needs to call it."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from routers.base import Array, Geometry, Router, causal_geometry, neutral_knobs
from routers.depth_attention import depth_geometry
from routers.hyper_connections import stream_geometry


@dataclasses.dataclass(frozen=True)
class Specimen:
    """A router with parameters, an input and a geometry that it accepts.

    Attributes:
      router: The router.
      params: Its parameters.
      x: Input ``[B, S, D]``.
      geometry: Geometry of a kind that the router accepts.
      apply: The router's ``apply(params, x, geometry, knobs)``, compiled if possible.
    """

    router: Router
    params: Any
    x: Array
    geometry: Geometry
    apply: Callable[..., Any]

    def knobs(self, **changed: float) -> dict[str, Array]:
        """The neutral knobs with some of them changed, as float32 scalars."""
        new = {name: jnp.asarray(v, jnp.float32) for name, v in changed.items()}
        return neutral_knobs(self.router) | new

    def call(self, knobs: Mapping[str, Array], **changed: Any) -> Any:
        """``(y, routing)`` of the router; ``x`` and ``geometry`` can be replaced."""
        x = changed.get("x", self.x)
        geometry = changed.get("geometry", self.geometry)
        return self.apply(self.params, x, geometry, knobs)

    def every_knob(self) -> Iterator[tuple[str, dict[str, Array]]]:
        """Labelled knobs: all neutral, then each at its ends and in between."""
        yield "neutral", self.knobs()
        for name, knob in self.router.knobs.items():
            high = knob.high if np.isfinite(knob.high) else max(10.0, knob.low + 1)
            for value in (knob.low, 0.5 * (knob.low + high), high):
                yield f"{name}={value:g}", self.knobs(**{name: value})


def ring_geometry(nodes: int) -> Geometry:
    """Hop distances on a ring with self-loops, masked to two hops."""
    apart = np.abs(np.arange(nodes)[:, None] - np.arange(nodes)[None])
    hops = np.minimum(apart, nodes - apart)
    return Geometry(jnp.asarray(hops, jnp.float32), jnp.asarray(hops <= 2), "graph")


NOISE = 0.3
"""Standard deviation of the noise that is added to initial parameters."""

GEOMETRIES: Mapping[str, Callable[[int], Geometry]] = {
    "causal": causal_geometry,
    "graph": ring_geometry,
    "depth": depth_geometry,
    "streams": stream_geometry,
}
"""An example of every geometry kind, from its number of sources."""


def specimen(router: Router, kind: str, sources: int = 12, seed: int = 0) -> Specimen:
    """A router with random parameters and a random input with a batch of 2.

    Noise is added to the initial parameters, because a router whose queries start at
    zero would otherwise pass most checks without being tested.
    """
    init_key, x_key, noise_key = jax.random.split(jax.random.key(seed), 3)
    x = jax.random.normal(x_key, (2, sources, router.width))
    geometry = GEOMETRIES[kind](sources)
    knobs = neutral_knobs(router)
    params = router.init(init_key, x, geometry, knobs)
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(noise_key, len(leaves))
    noisy = [
        leaf + NOISE * jax.random.normal(key, leaf.shape)
        for leaf, key in zip(leaves, keys, strict=True)
    ]
    params = jax.tree.unflatten(tree, noisy)
    apply = compiled(router.apply, params, x, geometry, knobs)
    return Specimen(router, params, x, geometry, apply)


def compiled(function: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
    """The function compiled, or the function itself if it cannot be traced.

    A function that cannot be traced fails `compiles_once`; the other checks still run.
    """
    try:
        jax.eval_shape(function, *arguments)
    except Exception:
        return function
    return jax.jit(function)
