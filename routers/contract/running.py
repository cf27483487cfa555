"""Checks of how a router runs: finite, traced once, mapped over, the same each time."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from routers.base import Array, neutral_knobs
from routers.contract.differences import WEIGHTS, Y, difference, first
from routers.contract.specimen import (
    Specimen,
    settings,
    why_untraceable,
)

BRAKES = (0.0, 1e-3, 1.0, 1e3)


def _stressed(subject: Specimen) -> Iterator[tuple[str, dict[str, Array]]]:
    yield from subject.every_knob()
    brake = subject.router.knobs["brake"]
    for value in BRAKES:
        if brake.low <= value <= brake.high:
            yield f"brake={value:g}", subject.knobs(brake=value)


def _differentiated(subject: Specimen, knobs: Any, x: Array) -> Any:
    """``(gradients, (y, routing))`` of the sum of squares of y."""

    def loss(params: Any, knobs: Any, x: Array) -> tuple[Array, Any]:
        y, routing = subject.router.apply(params, x, subject.geometry, knobs)
        return jnp.sum(jnp.square(y.astype(jnp.float32))), (y, routing)

    differentiate = jax.grad(loss, argnums=(0, 1, 2), has_aux=True)
    name = f"gradient {x.dtype}"
    return subject.program(name, differentiate, subject.params, knobs, x)


def finite_everywhere(subject: Specimen) -> str | None:
    """Values and gradients are finite at all knob values, also for bfloat16 x."""

    def judge() -> Iterator[str | None]:
        for dtype in (jnp.float32, jnp.bfloat16):
            for label, knobs in _stressed(subject):
                found = _differentiated(subject, knobs, subject.x.astype(dtype))
                named = dict(zip(("params", "knobs", "x"), found[0], strict=True))
                parts = {"y": found[1][0], "the routing": found[1][1]}
                parts |= {f"the gradient of {k}": v for k, v in named.items()}
                for name, tree in parts.items():
                    yield _not_finite(f"{label}, x {dtype.__name__}: {name}", tree)

    return first(judge())


def _not_finite(name: str, tree: Any) -> str | None:
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        values = np.asarray(leaf, float)
        if not np.isfinite(values).all():
            where = np.argwhere(~np.isfinite(values))[0].tolist()
            part = jax.tree_util.keystr(path)
            return f"{name}{part} is {values[tuple(where)]} at index {where}"
    return None


def vmap_equals_loop(subject: Specimen) -> str | None:
    """``vmap`` over knobs gives the same y and weights as one call per value."""

    def judge() -> Iterator[str | None]:
        labelled = list(dict(_stressed(subject)).items())
        at_once = subject.geometry.mask.shape[-1] + 1
        for start in range(0, len(labelled), at_once):
            some = labelled[start : start + at_once]
            rows = [(knobs, subject.x) for _, knobs in some]
            together, routing = subject.side_by_side(rows)
            for row, (label, knobs) in enumerate(some):
                y, alone = subject.call(knobs)
                named = "under vmap over knobs, not as called alone"
                yield difference(
                    f"{label}: y {named}", together[row], y, Y, subject.tolerance
                )
                yield difference(
                    f"{label}: weight {named}",
                    routing.weights[row],
                    alone.weights,
                    WEIGHTS,
                )

    return first(judge())


def compiles_once(subject: Specimen) -> str | None:
    """One trace serves every value of every knob."""
    for _, knobs in subject.every_knob():
        subject.call(knobs)
    if not hasattr(subject.programs["call"], "lower"):  # `compiled` could not
        arguments = (subject.params, subject.x, subject.geometry, subject.knobs())
        reason = why_untraceable(subject.router.apply, *arguments)
        return f"cannot be traced, for example if Python branches on a knob: {reason}"
    most = max(subject.traces.values())
    return f"traced {most} times instead of once for all knob values" * (most > 1)


def init_ignores_knobs(subject: Specimen) -> str | None:
    """The same PRNG key gives the same parameters at every knob value."""
    keys = jax.random.split(jax.random.key(subject.seed))
    plain, _ = subject.start(*keys, subject.knobs())

    def judge() -> Iterator[str | None]:
        for label, knobs in subject.every_knob():
            leaves = jax.tree.leaves(subject.start(*keys, knobs)[0])
            flat = jax.tree_util.tree_flatten_with_path(plain)[0]
            for (path, one), other in zip(flat, leaves, strict=True):
                if not np.array_equal(one, other):
                    yield (
                        f"{label}: initial parameter {jax.tree_util.keystr(path)} "
                        "differs from that at neutral knobs"
                    )

    return first(judge())


def is_deterministic(subject: Specimen) -> str | None:
    """Two equal calls give the same bits; another trace gives the same numbers."""
    knobs = neutral_knobs(subject.router)
    calls = [subject.call(knobs) for _ in range(2)]
    for one, two in zip(*map(jax.tree.leaves, calls), strict=True):
        if not np.array_equal(one, two, equal_nan=True):
            gap = np.abs(np.asarray(one, float) - np.asarray(two, float)).max()
            return f"two equal calls differ by {gap:.2g}"
    y, routing = calls[0]
    _, (again, rerouted) = _differentiated(subject, knobs, subject.x)
    what = "in another trace of the same call, not as in the first"
    return difference(f"y {what}", again, y, Y, subject.tolerance) or difference(
        f"weight {what}", rerouted.weights, routing.weights, WEIGHTS
    )


def digest(subject: Specimen) -> Mapping[str, Any]:
    """Numbers by which two processes are compared: parameters, y and weights."""
    found = {}
    between = {name: settings(k)[1] for name, k in subject.router.knobs.items()}
    for label, knobs in (("neutral", {}), ("every knob in between", between)):
        y, routing = subject.call(subject.knobs(**knobs))
        found[f"{label}: y"] = y
        found[f"{label}: weight"] = routing.weights
    leaves = jax.tree.leaves(subject.params)
    found |= {f"parameter {i}": leaf for i, leaf in enumerate(leaves)}
    return {name: np.asarray(value, np.float32) for name, value in found.items()}
