"""Checks of the reported weights: shares, shapes, and that the fast path applies them.

Which weights the fast path applies is measured by `routers.contract.specimen.dissect`,
column by column. Nothing that the router says about itself enters.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from routers.base import Routing
from routers.contract.differences import (
    LONG,
    ROWS,
    WEIGHTS,
    Unchecked,
    Y,
    difference,
    first,
)
from routers.contract.specimen import Specimen, settings, specimen

MIXED = ("batch", "query", "head", "channel")
TINY = 1e-30
"""Rows of a signed matrix whose largest entry is below have no shares to compare."""


def shapes_and_dtypes(subject: Specimen) -> str | None:
    """``y [B, T, D]`` in the dtype of x or the settings; weights float32 [B,H,T,S]."""

    def judge() -> Iterator[str | None]:
        half = subject.x.astype(jnp.bfloat16)
        arguments = (subject.params, half, subject.geometry, subject.knobs())
        outputs = (
            (subject.x.dtype, subject.call(subject.knobs())),
            (half.dtype, jax.eval_shape(subject.router.apply, *arguments)),
        )
        for dtype, (y, routing) in outputs:
            yield from _judge_shapes(subject, y, routing)
            allowed = {dtype, jnp.dtype(subject.config_dtype or dtype)}
            if y.dtype not in allowed:
                names = " or ".join(sorted(str(one) for one in allowed))
                yield f"y is {y.dtype} for x {dtype}, must be {names}"

    return first(judge())


def _judge_shapes(subject: Specimen, y: Any, routing: Any) -> Iterator[str | None]:
    queries, sources = subject.geometry.mask.shape[-2:]
    batch, _, width = subject.x.shape
    if y.shape != (batch, queries, width):
        yield f"y has shape {y.shape}, must be [B, T, D] = {(batch, queries, width)}"
    if not isinstance(routing, Routing):
        yield f"route returns a {type(routing).__name__}, must be a Routing"
        return
    weights = routing.weights
    if weights.ndim != 4 or weights.shape[::3] != (batch, sources):
        yield f"weights have shape {weights.shape}, must be [{batch}, H, T, {sources}]"
        return
    heads = weights.shape[1]
    config = subject.router.config
    wanted = getattr(config, "heads", getattr(config, "groups", heads))
    if heads != wanted:
        yield f"weights have {heads} heads, the settings ask for {wanted}"
    shapes = {
        "weights": (batch, heads, queries, sources),
        "null_mass": (batch, heads, queries),
        "cancellation": (batch, heads, queries),
        "key_norms": (batch, heads, sources),
        "value_norms": (batch, heads, sources),
        "written_norms": (batch, heads, sources),
        "channel_mass": (batch, heads, _channels(routing.channel_mass), sources),
    }
    for name, shape in shapes.items():
        field = getattr(routing, name)
        if field is None:
            continue
        if field.shape != shape:
            yield f"{name} has shape {field.shape}, must be {shape}"
        if field.dtype != jnp.float32:
            yield f"{name} is {field.dtype}, must be float32"


def _channels(mass: Any) -> int:
    return int(mass.shape[2]) if mass is not None and mass.ndim == 4 else 1


def rows_are_shares(subject: Specimen) -> str | None:
    """Weights are non-negative and 0 where masked; with the null mass they sum to 1."""

    def judge() -> Iterator[str | None]:
        for label, knobs in subject.every_knob():
            _, routing = subject.call(knobs)
            yield _judge_rows(label, routing, subject.geometry.mask, 1.0)
        for label, found in subject.anatomies.items():
            sources = subject.long_geometry.mask.shape[-1]
            named = f"{label}, {sources} sources"
            mask = subject.long_geometry.mask
            yield _judge_rows(named, found["routing"], mask, LONG)

    return first(judge())


def _judge_rows(label: str, routing: Any, mask: Any, tolerance: float) -> str | None:
    weights = np.asarray(routing.weights)
    hidden = np.where(np.asarray(mask), 0.0, weights)
    null = 0.0 if routing.null_mass is None else np.asarray(routing.null_mass)
    with np.errstate(invalid="ignore"):  # inf - inf
        total = weights.sum(-1) + null
    negative = difference(
        f"{label}: negative weight", np.minimum(weights, 0), 0, WEIGHTS, 0.0
    )
    masked = difference(f"{label}: weight of a masked source", hidden, 0, WEIGHTS, 0.0)
    what = "row sum" if routing.null_mass is None else "row sum with the null mass"
    return (
        negative
        or masked
        or difference(f"{label}: {what}", total, 1.0, ROWS, tolerance)
        or difference(f"{label}: null mass", null, np.clip(null, 0, 1), ROWS)
    )


def mixes_what_it_reports(subject: Specimen) -> str | None:
    """The matrix that the fast path applies has the reported weights, long and short.

    `mix` is also compared with its steps, with `forward` and with `explicit`.
    """

    def judge() -> Iterator[str | None]:
        for label, found in subject.anatomies.items():
            yield _judge_anatomy(subject, label, found, LONG)

    failed = first(judge())
    if failed or subject.defines("combine"):
        return failed
    compared = "mix was compared with explicit" if subject.defines("explicit") else ""
    return Unchecked(
        "the weights that mix applies could not be measured, because the router "
        f"defines mix and not combine; {compared or 'mix was compared with nothing'}"
    )


def _judge_anatomy(
    subject: Specimen, label: str, found: Any, tolerance: float
) -> str | None:
    tolerance *= subject.tolerance
    y = difference(f"{label}: y of forward, not mix", found["y"], found["mix"], Y)
    explicit = None
    if "explicit" in found:
        what = f"{label}: y of mix, not explicit"
        explicit = difference(what, found["mix"], found["explicit"], Y, tolerance)
    if "matrix" not in found:
        return y or explicit
    steps = f"{label}: y of mix, not of values, combine and finish"
    linear = (
        f"{label}: combine, not the matrix measured from one-hot values times the "
        "values (it must be linear in them)"
    )
    product = (found["mixed"], found["product"], MIXED)
    return (
        y
        or difference(steps, found["mix"], found["finished"], Y, tolerance)
        or difference(linear, *product, tolerance)
        or _judge_weights(subject, label, found, tolerance)
        or explicit
    )


def _judge_weights(
    subject: Specimen, label: str, found: Any, tolerance: float
) -> str | None:
    matrix, routing = found["matrix"], found["routing"]
    weights = routing.weights
    if matrix.shape[1] != weights.shape[1]:
        return (
            f"combine mixes {matrix.shape[1]} heads, route reports {weights.shape[1]}"
        )
    signed = routing.cancellation is not None
    negative = None
    if not signed:
        what = f"{label}: negative entry of the matrix that mix applies"
        axes = ("batch", "head", "channel", "query", "source")
        negative = difference(
            f"{what}, without a reported cancellation",
            np.minimum(matrix, 0),
            0,
            axes,
            tolerance,
        )
    shares, cancellation, empty = shares_of(
        matrix, signed or subject.router.rescaled_rows
    )
    # Where a row has no magnitude there is nothing to compare.
    applied = np.where(empty, weights, shares)
    what = f"{label}: weight that mix applies, not the one that route reports"
    applied = difference(what, applied, weights, WEIGHTS, tolerance)
    other = None
    if signed:
        ratio = np.where(empty[..., 0], routing.cancellation, cancellation)
        what = f"{label}: reported cancellation, not that of mix"
        other = difference(what, routing.cancellation, ratio, ROWS, 10 * tolerance)
    return negative or applied or other


def shares_of(matrix: Any, rescaled: bool) -> tuple[Any, Any, Any]:
    """Weights ``[B, H, T, S]`` that a measured matrix ``[B, H, V, T, S]`` amounts to.

    Args:
      matrix: A matrix for every channel.
      rescaled: Whether the weights are magnitudes divided by their sum over the row.

    Returns:
      Weights and cancellation as means over channels, and whether a row of some channel
      has no magnitude, ``[B, H, T, 1]``.
    """
    weights, cancellation, empty = channel_shares(matrix, rescaled)
    return weights.mean(2), cancellation.mean(2), empty.any(2)


def channel_shares(matrix: Any, rescaled: bool) -> tuple[Any, Any, Any]:
    """As `shares_of`, for every channel: the first is ``[B, H, V, T, S]``."""
    matrix = np.asarray(matrix, float)
    total = np.abs(matrix).sum(-1, keepdims=True)
    empty = total < TINY
    safe = np.where(empty, 1.0, total)
    weights = np.abs(matrix) / safe if rescaled else matrix
    return weights, np.abs(matrix.sum(-1)) / safe[..., 0], empty & rescaled


def knobs_act_per_head(subject: Specimen) -> str | None:
    """A knob ``[H]`` acts on every head as its own entry would on all of them."""
    heads = subject.heads
    if heads == 1:
        return None  # `heads_are_separate` examines the router with 2 heads

    def judge() -> Iterator[str | None]:
        for name, knob in subject.router.knobs.items():
            values = [settings(knob)[(head + 1) % 2 + 1] for head in range(heads)]
            vector = subject.knobs() | {name: np.asarray(values, np.float32)}
            found = subject.anatomy(vector)
            for head, value in enumerate(values):
                alone = subject.anatomies[subject.label(name, value)]
                label = f"{name}={[f'{v:g}' for v in values]}: head {head}"
                yield difference(
                    f"{label}, weight, not the one at {name}={value:g} for all heads",
                    found["routing"].weights[:, head],
                    alone["routing"].weights[:, head],
                    ("batch", "query", "source"),
                    LONG,
                )
                if "mixed" in found:
                    yield difference(
                        f"{label}, mixed, not as at {name}={value:g} for all heads",
                        found["mixed"][:, :, head],
                        alone["mixed"][:, :, head],
                        ("batch", "query", "channel"),
                        LONG * subject.tolerance,
                    )

    return first(judge())


def heads_are_separate(subject: Specimen) -> str | None:
    """With 2 heads, weights and knobs of every head are its own."""
    config = subject.router.config
    name = next((n for n in ("heads", "groups") if hasattr(config, n)), None)
    if name is None or subject.heads > 1:
        return None  # no such setting, or examined with several heads anyway
    try:
        two = subject.router.clone(config=dataclasses.replace(config, **{name: 2}))
        other = specimen(two, subject.kind, subject.seed)
    except (TypeError, ValueError) as error:
        return Unchecked(f"{name}=2 could not be built: {error}")
    other = dataclasses.replace(other, long_x=other.x[:1], long_geometry=other.geometry)
    failed = first(
        check(other)
        for check in (shapes_and_dtypes, mixes_what_it_reports, knobs_act_per_head)
    )
    return None if failed is None else type(failed)(f"{name}=2: {failed}")
