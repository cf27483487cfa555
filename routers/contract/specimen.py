"""A router with everything that a check needs to call it.

Compiling takes most of the contract's time. Every program is therefore compiled when a
check first asks for it, and then shared by all checks.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from routers.base import Array, Geometry, Knob, Router, neutral_knobs
from routers.contract.differences import one_line
from routers.contract.geometries import GEOMETRIES

NOISE = 0.3
"""Standard deviation of the noise that is added to initial parameters."""
BATCH = 2
NEUTRAL = "neutral"
LONGEST = 521
"""Largest number of positions; the matrix that is measured grows with the square."""
CAP = 10.0
"""Value that stands for a knob's upper end if there is none."""


@dataclasses.dataclass
class Specimen:
    """A router with parameters, inputs and geometries that it accepts.

    Attributes:
      router: The router.
      kind: Kind of the geometries.
      params: Its parameters.
      x: Short input ``[B, S, D]``: the first positions of the long one.
      geometry: Geometry of the short input.
      long_x: Long input ``[1, L, D]``.
      long_geometry: Geometry of the long input.
      other_x: Another short input.
      seed: Seed of parameters and inputs.
      programs: What has been compiled so far, by name.
      start: Function ``(init_key, noise_key, knobs)`` that gives the initial parameters
        and those with noise; compiled if possible.
      traces: Number of traces of the router's call, by the shapes of its arguments.
    """

    router: Router
    kind: str
    params: Any
    x: Any
    geometry: Geometry
    long_x: Any
    long_geometry: Geometry
    other_x: Any
    start: Callable[..., tuple[Any, Any]]
    seed: int = 0
    programs: dict[str, Any] = dataclasses.field(default_factory=dict)
    traces: dict[Any, int] = dataclasses.field(default_factory=dict)

    @property
    def config_dtype(self) -> Any:
        """The ``dtype`` of the router's settings, or None."""
        return getattr(self.router.config, "dtype", None)

    @property
    def tolerance(self) -> float:
        """Factor of all tolerances: the router may compute in bfloat16."""
        if self.config_dtype is None or jnp.dtype(self.config_dtype).itemsize >= 4:
            return 1.0
        return 3e3

    def defines(self, *methods: str) -> bool:
        """Whether the router's class defines these methods itself."""
        kind = type(self.router)
        return all(getattr(kind, m) is not getattr(Router, m) for m in methods)

    def knobs(self, **changed: float) -> dict[str, Any]:
        """The neutral knobs with some of them changed, as float32 scalars."""
        values = {name: knob.neutral for name, knob in self.router.knobs.items()}
        return {k: np.float32(v) for k, v in (values | changed).items()}

    def every_knob(self) -> Iterator[tuple[str, dict[str, Array]]]:
        """Labelled knobs: all neutral, each at its ends and between, all between."""
        yield NEUTRAL, self.knobs()
        for name, knob in self.router.knobs.items():
            for value in settings(knob):
                if value != knob.neutral:
                    yield self.label(name, value), self.knobs(**{name: value})
        between = {name: settings(k)[1] for name, k in self.router.knobs.items()}
        yield "every knob in between", self.knobs(**between)

    def label(self, name: str, value: float) -> str:
        """Label of a knob's value in `every_knob`."""
        neutral = value == self.router.knobs[name].neutral
        return NEUTRAL if neutral else f"{name}={value:g}"

    def some_knobs(self) -> Iterator[tuple[str, dict[str, Array]]]:
        """The first and the last of `every_knob`."""
        labelled = list(self.every_knob())
        yield labelled[0]
        yield labelled[-1]

    def stage(self, method: str, *arguments: Any) -> Any:
        """One method of the router, with its parameters."""
        return self.router.apply(self.params, *arguments, method=method)

    def program(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Runs a function, compiled under a name when it is first asked for.

        Results are NumPy's: every new shape of a slice would be compiled otherwise.
        """
        if name not in self.programs:
            self.programs[name] = compiled(function, *arguments)
        return jax.tree.map(np.asarray, self.programs[name](*arguments))

    def call(self, knobs: Mapping[str, Array], **changed: Any) -> Any:
        """``(y, routing)`` of the router; ``x`` and ``geometry`` can be replaced."""
        x = changed.get("x", self.x)
        geometry = changed.get("geometry", self.geometry)
        return self.program("call", self._call, self.params, x, geometry, knobs)

    def _call(self, *arguments: Any) -> Any:
        shapes = str(jax.tree.map(lambda a: (jnp.shape(a), str(a.dtype)), arguments))
        self.traces[shapes] = self.traces.get(shapes, 0) + 1
        return self.router.apply(*arguments)

    def side_by_side(self, rows: Sequence[tuple[Mapping[str, Array], Array]]) -> Any:
        """``(y, routing)`` for pairs of knobs and short inputs, by one `vmap`."""
        slots = self.geometry.mask.shape[-1] + 1
        filled = [*rows, *[rows[-1]] * (slots - len(rows))]
        knobs, x = jax.tree.map(lambda *a: np.stack(a), *filled)

        def call(params: Any, x: Array, geometry: Geometry, knobs: Any) -> Any:
            return self.router.apply(params, x, geometry, knobs)

        return self.program(
            "side_by_side",
            jax.vmap(call, in_axes=(None, 0, None, 0)),
            *(self.params, x, self.geometry, knobs),
        )

    def anatomy(self, knobs: Mapping[str, Array], length: str = "long") -> Any:
        """Everything that the stages give for one input, with knobs ``[H]``.

        Args:
          knobs: Knobs; scalars are repeated for every head.
          length: Which input: ``"long"`` or ``"short"``.

        Returns:
          See `dissect`.
        """
        geometry = self.long_geometry if length == "long" else self.geometry
        x = self.long_x if length == "long" else self.x
        vectors = {k: np.broadcast_to(v, (self.heads,)) for k, v in knobs.items()}
        function = functools.partial(dissect, self.router)
        arguments = (self.params, x, geometry, vectors)
        return self.program(f"anatomy {length}", function, *arguments)

    @functools.cached_property
    def heads(self) -> int:
        """H, the number of heads that the routing has."""
        return int(self.call(self.knobs())[1].weights.shape[1])

    @functools.cached_property
    def anatomies(self) -> dict[str, Any]:
        """`anatomy` of the long input at `every_knob`, by label."""
        return {label: self.anatomy(knobs) for label, knobs in self.every_knob()}


def settings(knob: Knob) -> tuple[float, float, float]:
    """The least value of a knob, one in between, and the greatest, at most `CAP`."""
    if np.isfinite(knob.high):
        return knob.low, 0.5 * (knob.low + knob.high), knob.high
    return knob.low, knob.low + 1.0, max(CAP, knob.low + 2.0)


def dissect(
    router: Router, params: Any, x: Array, geometry: Geometry, knobs: Any
) -> dict[str, Any]:
    """What every stage of a router gives, and the matrix that its fast path applies.

    The matrix is measured: `Router.combine` mixes values that are 1 at one source and
    0 elsewhere, which gives one column at a time.

    Returns:
      ``routing``, ``y`` (by `forward`), ``mix``, and what is defined of: ``explicit``;
      ``values``, ``mixed``, ``finished`` (by the three steps), ``matrix``
      ``[B, H, V, T, S]`` and ``product`` (the matrix times the values).
    """

    def stage(method: str, *arguments: Any) -> Any:
        return router.apply(params, *arguments, method=method)

    kind = type(router)
    features = stage("project", x)
    found = {"routing": stage("route", features, geometry, knobs)}
    if kind.explicit is not Router.explicit:
        found["explicit"] = stage("explicit", features, geometry, knobs)
    if kind.combine is not Router.combine:
        values = stage("values", features)
        sources = values.shape[1]
        one_hot = jnp.eye(sources, dtype=values.dtype)[:, None, :, None, None]
        columns = jnp.broadcast_to(one_hot, (sources, *values.shape))
        combine = jax.vmap(lambda v: stage("combine", features, v, geometry, knobs))
        # The values themselves go along: a second copy would be compiled again.
        mixed = combine(jnp.concatenate([columns, values[None]]))
        matrix = jnp.transpose(mixed[:-1], (1, 3, 4, 2, 0)).astype(jnp.float32)
        found |= {
            "values": values,
            "mixed": mixed[-1],
            "finished": stage("finish", features, mixed[-1]),
            "matrix": matrix,
            "product": jnp.einsum(
                "bhvts,bshv->bthv", matrix, values.astype(jnp.float32)
            ),
        }
    by_steps = kind.mix is Router.mix and "finished" in found
    found["mix"] = (
        found["finished"] if by_steps else stage("mix", features, geometry, knobs)
    )
    by_mix = kind.forward is Router.forward
    found["y"] = found["mix"] if by_mix else stage("forward", x, geometry, knobs)
    return found


def specimen(router: Router, kind: str, seed: int = 0, longest: int = 0) -> Specimen:
    """A router with random parameters and random inputs.

    The long sequence has ``longest`` positions if that is more than usual, but at most
    `LONGEST`. Noise is added to the initial parameters, because a router whose queries
    start at zero would otherwise pass most checks without being tested.
    """
    make, short, length = GEOMETRIES[kind]
    if kind == "causal":
        length = max(length, min(longest, LONGEST))
    keys = jax.random.split(jax.random.key(seed), 4)
    whole = np.asarray(jax.random.normal(keys[1], (BATCH, length, router.width)))
    x, geometry = whole[:, :short], make(short)
    knobs = neutral_knobs(router)

    def start(init_key: Array, noise_key: Array, knobs: Any) -> tuple[Any, Any]:
        params = router.init(init_key, x, geometry, knobs)
        leaves, tree = jax.tree.flatten(params)
        noise = jax.random.split(noise_key, max(1, len(leaves)))
        noisy = [
            leaf + NOISE * jax.random.normal(key, leaf.shape)
            for leaf, key in zip(leaves, noise, strict=False)
        ]
        return params, jax.tree.unflatten(tree, noisy)

    arguments = (keys[0], keys[2], knobs)
    start = compiled(start, *arguments)
    return Specimen(
        router=router,
        kind=kind,
        params=start(*arguments)[1],
        x=x,
        geometry=geometry,
        long_x=whole[:1],
        long_geometry=make(length),
        other_x=np.asarray(jax.random.normal(keys[3], x.shape)),
        start=start,
        seed=seed,
    )


def compiled(function: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
    """The function compiled, or the function itself if it cannot be traced.

    A function that cannot be traced fails `compiles_once`; the other checks still run.
    """
    jitted = jax.jit(function)
    try:
        jitted.eval_shape(*arguments)
    except Exception:
        return function
    return jitted


def why_untraceable(function: Callable[..., Any], *arguments: Any) -> str:
    """The error in one line, if a function cannot be traced; otherwise empty."""
    try:
        jax.eval_shape(function, *arguments)
    except Exception as error:
        return one_line(error)
    return ""
