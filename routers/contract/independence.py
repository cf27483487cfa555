"""Checks of what an output may not depend on: the future, the length, other rows."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from routers.base import Array
from routers.contract.differences import (
    LONG,
    WEIGHTS,
    Y,
    difference,
    first,
    one_line,
)
from routers.contract.specimen import Specimen
from routers.edges import list_edges

CUTS = 32
"""Number of random cuts between past and future of the long input."""


def ignores_the_future(subject: Specimen) -> str | None:
    """On causal geometry, no change after any position changes what comes before it."""
    if subject.kind != "causal":
        return None

    def judge() -> Iterator[str | None]:
        positions = subject.x.shape[1]
        cuts = range(1, positions)
        for label, knobs in subject.every_knob():
            changed = [
                np.concatenate([subject.x[:, :cut], subject.other_x[:, cut:]], axis=1)
                for cut in cuts
            ]
            rows = [(knobs, x) for x in (subject.x, *changed)]
            y, routing = subject.side_by_side(rows)
            weights = routing.weights
            for row, cut in enumerate(cuts, start=1):
                named = f"before position {cut}, after which x changed"
                yield difference(
                    f"{label}: y {named}", y[row, :, :cut], y[0, :, :cut], Y
                )
                yield difference(
                    f"{label}: weight {named}",
                    weights[row, :, :, :cut],
                    weights[0, :, :, :cut],
                    WEIGHTS,
                )
        yield from _judge_long_cuts(subject)

    return first(judge())


def _cut(x: Array, other: Array, cut: Any) -> Array:
    """``x`` up to a position, the other from there on."""
    return jnp.where(jnp.arange(x.shape[1])[None, :, None] < cut, x, other)


def _judge_long_cuts(subject: Specimen) -> Iterator[str | None]:
    length = subject.long_x.shape[1]
    cuts = np.sort(np.random.default_rng(0).permutation(length - 1)[:CUTS] + 1)
    other = jnp.flip(subject.long_x, 1)

    def largest_leak(params: Any, x: Array, geometry: Any, knobs: Any) -> Any:
        def forward(x: Array) -> Any:
            return subject.router.apply(params, x, geometry, knobs, method="forward")

        y = forward(x)

        def leak(cut: Array) -> Array:
            gap = jnp.abs(forward(_cut(x, other, cut)) - y)
            scale = jnp.max(jnp.abs(y), axis=-1, keepdims=True)
            past = jnp.arange(length)[None, :, None] < cut
            return jnp.max(jnp.where(past, gap / (scale + 0.1), 0.0), axis=(0, 2))

        return y, jax.vmap(leak)(jnp.asarray(cuts))  # [cuts, T]

    for label, knobs in subject.some_knobs():
        arguments = (subject.params, subject.long_x, subject.long_geometry, knobs)
        y, leaks = subject.program("long cuts", largest_leak, *arguments)
        known = subject.anatomies[label]["y"]
        tolerance = LONG * subject.tolerance
        yield difference(f"{label}: y of forward, not mix", y, known, Y, tolerance)
        yield difference(
            f"{label}: relative change of y before a position after which x changed",
            leaks,
            0,
            ("cut number", "query"),
            tolerance * 10,
        )


def ignores_the_length(subject: Specimen) -> str | None:
    """On causal geometry, the first positions of a long input give what they alone do.

    Knobs are scalars here and one value per head there.
    """
    if subject.kind != "causal":
        return None
    short = subject.x.shape[1]

    def judge() -> Iterator[str | None]:
        for label, knobs in subject.every_knob():
            y, routing = subject.call(knobs)
            found = subject.anatomies[label]
            length = found["y"].shape[1]
            named = f"at length {short}, not as at length {length}"
            tolerance = LONG * subject.tolerance
            yield difference(
                f"{label}: y {named}", y[:1], found["y"][:, :short], Y, tolerance
            )
            yield difference(
                f"{label}: weight {named}",
                routing.weights[:1],
                found["routing"].weights[:, :, :short, :short],
                WEIGHTS,
                LONG,
            )

    return first(judge())


def ignores_other_rows(subject: Specimen) -> str | None:
    """A row of the batch does not depend on the others, nor on its place."""

    def judge() -> Iterator[str | None]:
        for label, knobs in subject.every_knob():
            y, routing = subject.call(knobs)
            for row in (0, 1):
                x = subject.other_x.copy()
                x[row] = subject.x[row]
                other, rerouted = subject.call(knobs, x=x)
                named = f"of batch row {row}, while another row changed"
                yield difference(
                    f"{label}: y {named}", other[row], y[row], Y[1:], subject.tolerance
                )
                yield difference(
                    f"{label}: weight {named}",
                    rerouted.weights[row],
                    routing.weights[row],
                    WEIGHTS[1:],
                )
            other, rerouted = subject.call(knobs, x=subject.x[::-1])
            named = "after the rows of the batch changed places"
            yield difference(
                f"{label}: y {named}", other[::-1], y, Y, subject.tolerance
            )
            yield difference(
                f"{label}: weight {named}",
                rerouted.weights[::-1],
                routing.weights,
                WEIGHTS,
            )

    return first(judge())


def geometry_is_per_row(subject: Specimen) -> str | None:
    """Geometries ``[B, T, S]`` act row by row, or are refused with a ValueError."""
    plain = subject.geometry
    farther = plain.replace(distance=0.5 * plain.distance)
    if plain.kind != "streams":  # Sinkhorn needs sources in every column
        distance = np.asarray(plain.distance)
        nearest = distance == distance.min(-1, keepdims=True)
        odd = np.arange(distance.shape[-1]) % 3 == 1
        farther = farther.replace(mask=plain.mask & jnp.asarray(nearest | ~odd))
    both = jax.tree.map(lambda *a: jnp.stack(a), plain, farther)
    try:
        subject.call(subject.knobs(), geometry=both)
    except ValueError as error:
        if "[T, S]" in str(error) or "shape" in str(error):
            return None  # refused in words
        return f"a geometry [B, T, S] must be accepted or refused in words: {error}"
    except Exception as error:
        return f"a geometry [B, T, S] ends in {one_line(error)}"

    def judge() -> Iterator[str | None]:
        for label, knobs in subject.every_knob():
            y, routing = subject.call(knobs, geometry=both)
            for row, one in enumerate((plain, farther)):
                alone, routed = subject.call(knobs, geometry=one)
                named = f"of batch row {row} with a geometry of its own"
                yield difference(
                    f"{label}: y {named}", y[row], alone[row], Y[1:], subject.tolerance
                )
                yield difference(
                    f"{label}: weight {named}",
                    routing.weights[row],
                    routed.weights[row],
                    WEIGHTS[1:],
                )

    return first(judge())


def respects_node_order(subject: Specimen) -> str | None:
    """On graphs, renumbering the nodes renumbers output and weights."""
    if subject.kind != "graph":
        return None
    order = np.random.default_rng(0).permutation(subject.x.shape[1])
    geometry = subject.geometry.replace(
        distance=subject.geometry.distance[order][:, order],
        mask=subject.geometry.mask[order][:, order],
    )

    def judge() -> Iterator[str | None]:
        for label, knobs in subject.every_knob():
            y, routing = subject.call(knobs)
            moved, rerouted = subject.call(
                knobs, x=subject.x[:, order], geometry=geometry
            )
            yield difference(
                f"{label}: y after renumbering",
                moved,
                y[:, order],
                Y,
                subject.tolerance,
            )
            yield difference(
                f"{label}: weight after renumbering",
                rerouted.weights,
                routing.weights[:, :, order][..., order],
                WEIGHTS,
            )

    return first(judge())


def edges_equal_the_mask(subject: Specimen) -> str | None:
    """On graphs, a list of edges gives the same output as their mask."""
    if subject.kind != "graph":
        return None
    listed = subject.geometry.replace(edges=list_edges(subject.geometry.mask))

    def judge() -> Iterator[str | None]:
        for label, knobs in subject.every_knob():
            by_edges, _ = subject.call(knobs, geometry=listed)
            y, _ = subject.call(knobs)
            what = f"{label}: y by the list of edges"
            yield difference(what, by_edges, y, Y, subject.tolerance)

    return first(judge())
