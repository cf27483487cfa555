"""The checks: each takes a `Specimen` and returns None or the failure in one line."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from routers.base import Array
from routers.contract.specimen import Specimen, compiled
from routers.edges import list_edges

BRAKES = (0.0, 1e-3, 1.0, 1e3)
ABSOLUTE, RELATIVE = 1e-6, 1e-5


Check = Callable[[Specimen], str | None]


def _difference(name: str, found: Any, wanted: Any) -> str | None:
    """One line if two arrays differ by more than the tolerance, else None."""
    found, wanted = np.asarray(found), np.asarray(wanted)
    if np.allclose(found, wanted, rtol=RELATIVE, atol=ABSOLUTE):
        return None
    gap = np.abs(found.astype(float) - wanted.astype(float))
    worst = np.unravel_index(np.nanargmax(np.nan_to_num(gap, nan=np.inf)), gap.shape)
    where = tuple(int(i) for i in worst)
    return f"{name}: {found[worst]:.6g} instead of {wanted[worst]:.6g} at {where}"


def _first(messages: Iterator[str | None]) -> str | None:
    return next((message for message in messages if message), None)


def declares_knobs(subject: Specimen) -> str | None:
    """``brake`` and ``content`` exist, and neutral values lie in their ranges."""
    knobs = subject.router.knobs
    missing = {"brake", "content"} - set(knobs)
    if missing:
        return f"knobs missing: {', '.join(sorted(missing))}"
    for name, knob in knobs.items():
        if not knob.low <= knob.neutral <= knob.high:
            return (
                f"{name}: neutral value {knob.neutral} is not between {knob.low} and "
                f"{knob.high}"
            )
    return None


def shapes_and_dtypes(subject: Specimen) -> str | None:
    """``y [B, T, D]`` is as wide as x; weights are float32 ``[B, H, T, S]``."""
    y, routing = subject.call(subject.knobs())
    queries, sources = subject.geometry.mask.shape[-2:]
    batch, _, width = subject.x.shape
    if y.shape != (batch, queries, width):
        return f"y has shape {y.shape}, not {(batch, queries, width)}"
    weights = routing.weights
    if weights.ndim != 4 or weights.shape[::3] != (batch, sources):
        return f"weights have shape {weights.shape}, not [{batch}, H, T, {sources}]"
    if weights.dtype != jnp.float32:
        return f"weights are {weights.dtype}, not float32"
    return None


def rows_are_shares(subject: Specimen) -> str | None:
    """Weights are non-negative and 0 where masked; with the null mass they sum to 1."""

    def judge() -> Iterator[str | None]:
        for label, knobs in subject.every_knob():
            _, routing = subject.call(knobs)
            weights = np.asarray(routing.weights)
            if not (weights >= 0).all():
                yield f"{label}: the weight {weights.min():.6g} is negative"
            hidden = np.abs(np.where(subject.geometry.mask, 0, weights)).max()
            if hidden > 0:
                yield f"{label}: a masked source has the weight {hidden:.6g}"
            null = 0 if routing.null_mass is None else np.asarray(routing.null_mass)
            total = weights.sum(-1) + null
            yield _difference(f"{label}: row sum", total, np.ones_like(total))

    return _first(judge())


def mix_equals_explicit(subject: Specimen) -> str | None:
    """The fast path and the explicit matrix give the same y at every knob value."""

    def both(module: Any, x: Array, knobs: Mapping[str, Array]) -> tuple[Array, Array]:
        features = module.project(x)
        arguments = (features, subject.geometry, knobs)
        return module.mix(*arguments), module.explicit(*arguments)

    def apply(knobs: Mapping[str, Array]) -> Any:
        return subject.router.apply(subject.params, subject.x, knobs, method=both)

    apply = compiled(apply, subject.knobs())

    def judge() -> Iterator[str | None]:
        for label, knobs in subject.every_knob():
            fast, slow = apply(knobs)
            yield _difference(f"{label}: y of mix, compared with explicit", fast, slow)

    return _first(judge())


def ignores_the_future(subject: Specimen) -> str | None:
    """On causal geometry, a change of later sources does not change earlier outputs."""
    if subject.geometry.kind != "causal":
        return None
    cut = subject.x.shape[1] // 2
    changed = subject.x.at[:, cut:].add(3.0)

    def judge() -> Iterator[str | None]:
        for label, knobs in subject.every_knob():
            y, routing = subject.call(knobs)
            other, rerouted = subject.call(knobs, x=changed)
            yield _difference(
                f"{label}: y before position {cut}",
                other[:, :cut],
                y[:, :cut],
            )
            past = (..., slice(cut), slice(None))
            yield _difference(
                f"{label}: weights before position {cut}",
                rerouted.weights[past],
                routing.weights[past],
            )

    return _first(judge())


def no_content_no_brake_is_uniform(subject: Specimen) -> str | None:
    """At ``content = 0, brake = 0`` each row is uniform over its sources."""
    _, routing = subject.call(subject.knobs(content=0.0, brake=0.0))
    mask = np.asarray(subject.geometry.mask, float)
    even = np.broadcast_to(mask / mask.sum(-1, keepdims=True), routing.weights.shape)
    return _difference("weights at content 0, brake 0", routing.weights, even)


def zero_brake_ignores_distance(subject: Specimen) -> str | None:
    """At ``brake = 0`` the output does not depend on distances."""
    far = subject.geometry.replace(distance=3.0 * subject.geometry.distance + 1.0)
    near_y, _ = subject.call(subject.knobs(brake=0.0))
    far_y, _ = subject.call(subject.knobs(brake=0.0), geometry=far)
    return _difference("y at brake 0 with other distances", far_y, near_y)


def strong_brake_keeps_the_nearest(subject: Specimen) -> str | None:
    """As the brake grows, all mass moves to sources within the router's reach."""
    _, routing = subject.call(subject.knobs(brake=1e5))
    distance = np.where(subject.geometry.mask, subject.geometry.distance, np.inf)
    beyond = distance > distance.min(-1, keepdims=True) + subject.router.reach
    leaked = np.where(beyond, np.asarray(routing.weights), 0).max()
    if leaked > 1e-4:
        return f"a source beyond reach has the weight {leaked:.6g} at brake 1e5"
    return None


def brake_matters(subject: Specimen) -> str | None:
    """The brake is read from the knobs: different values give different weights."""
    _, weak = subject.call(subject.knobs(brake=0.0))
    _, strong = subject.call(subject.knobs(brake=1.0))
    gap = float(jnp.abs(weak.weights - strong.weights).max())
    return f"weights at brake 0 and 1 differ by {gap:.2g} only" if gap < 1e-6 else None


def finite_everywhere(subject: Specimen) -> str | None:
    """Values and gradients are finite over the brake's range, also for bfloat16 x."""

    def loss(params: Any, knobs: Any, x: Array) -> tuple[Array, Any]:
        y, routing = subject.router.apply(params, x, subject.geometry, knobs)
        return jnp.sum(jnp.square(y.astype(jnp.float32))), (y, routing)

    differentiate = jax.grad(loss, argnums=(0, 1, 2), has_aux=True)

    def judge() -> Iterator[str | None]:
        for dtype in (jnp.float32, jnp.bfloat16):
            arguments = subject.params, subject.knobs(), subject.x.astype(dtype)
            run = compiled(differentiate, *arguments)
            for brake in BRAKES:
                grads, outputs = run(
                    subject.params, subject.knobs(brake=brake), arguments[-1]
                )
                for name, tree in (("value", outputs), ("gradient", grads)):
                    finite = [
                        bool(jnp.isfinite(v).all()) for v in jax.tree.leaves(tree)
                    ]
                    if not all(finite):
                        yield (
                            f"brake={brake:g}, {dtype.__name__}: a {name} is not finite"
                        )

    return _first(judge())


def vmap_equals_loop(subject: Specimen) -> str | None:
    """``vmap`` over brakes gives the same y as one call per brake."""
    stack = [subject.knobs(brake=brake) for brake in BRAKES]
    stacked = jax.tree.map(lambda *values: jnp.stack(values), *stack)
    together, _ = jax.vmap(subject.call)(stacked)
    one_by_one = jnp.stack([subject.call(knobs)[0] for knobs in stack])
    return _difference("y under vmap over brakes", together, one_by_one)


def compiles_once(subject: Specimen) -> str | None:
    """One trace serves every value of every knob."""
    traces = 0

    @jax.jit
    def call(knobs: Mapping[str, Array]) -> Array:
        nonlocal traces
        traces += 1
        arguments = subject.params, subject.x, subject.geometry, knobs
        return subject.router.apply(*arguments)[0]

    for _, knobs in subject.every_knob():
        call(knobs)
    return f"traced {traces} times instead of once" if traces != 1 else None


def init_ignores_knobs(subject: Specimen) -> str | None:
    """The same PRNG key gives the same parameters at every knob value."""
    key = jax.random.key(7)
    arguments = (key, subject.x, subject.geometry)
    init = compiled(subject.router.init, *arguments, subject.knobs())
    plain = init(*arguments, subject.knobs())

    def judge() -> Iterator[str | None]:
        for label, knobs in subject.every_knob():
            other = init(*arguments, knobs)
            for one, two in zip(
                jax.tree.leaves(plain), jax.tree.leaves(other), strict=True
            ):
                if not np.array_equal(one, two):
                    yield f"{label}: initial parameters differ from those at neutral"

    return _first(judge())


def is_deterministic(subject: Specimen) -> str | None:
    """Two equal calls give the same bits."""
    first, second = (subject.call(subject.knobs())[0] for _ in range(2))
    return None if np.array_equal(first, second) else "two equal calls differ"


def respects_node_order(subject: Specimen) -> str | None:
    """On graphs, renumbering the nodes renumbers the output."""
    if subject.geometry.kind != "graph":
        return None
    order = np.random.default_rng(0).permutation(subject.x.shape[1])
    geometry = subject.geometry.replace(
        distance=subject.geometry.distance[order][:, order],
        mask=subject.geometry.mask[order][:, order],
    )
    y, _ = subject.call(subject.knobs(brake=0.5))
    moved, _ = subject.call(
        subject.knobs(brake=0.5), x=subject.x[:, order], geometry=geometry
    )
    return _difference("y after renumbering", moved, y[:, order])


def edges_equal_the_mask(subject: Specimen) -> str | None:
    """On graphs, a list of edges gives the same output as their mask."""
    if subject.geometry.kind != "graph":
        return None
    listed = subject.geometry.replace(edges=list_edges(subject.geometry.mask))

    def judge() -> Iterator[str | None]:
        for label, knobs in subject.every_knob():
            by_edges, _ = subject.call(knobs, geometry=listed)
            y, _ = subject.call(knobs)
            yield _difference(f"{label}: y by the list of edges", by_edges, y)

    return _first(judge())


CHECKS: Mapping[str, Check] = {
    check.__name__: check
    for check in (
        declares_knobs,
        shapes_and_dtypes,
        rows_are_shares,
        mix_equals_explicit,
        ignores_the_future,
        no_content_no_brake_is_uniform,
        zero_brake_ignores_distance,
        strong_brake_keeps_the_nearest,
        brake_matters,
        finite_everywhere,
        vmap_equals_loop,
        compiles_once,
        init_ignores_knobs,
        is_deterministic,
        respects_node_order,
        edges_equal_the_mask,
    )
}
"""Every check by name, in the order in which they are run."""
