"""Check that only `combine` moves anything between positions."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from routers.base import Array
from routers.contract.differences import Unchecked, difference, first
from routers.contract.specimen import Specimen


def stages_are_local(subject: Specimen) -> str | None:
    """`project`, `values` and `finish` work position by position; `combine` mixes.

    What they would mix appears in no routing matrix. `Router.lookback` declares how
    many earlier positions `project` reads.
    """
    queries, sources = subject.geometry.mask.shape
    if not subject.defines("combine"):
        return Unchecked("the router defines mix and not combine and finish")
    back = subject.stage("lookback")
    if not isinstance(back, int) or back < 0:
        return f"lookback: must be a whole number of at least 0, not {back!r}"

    def probe(params: Any, x: Array, other: Array, geometry: Any, knobs: Any) -> Any:
        def stage(method: str, *arguments: Any) -> Any:
            return subject.router.apply(params, *arguments, method=method)

        def put(x: Array, other: Array, place: Array) -> Array:
            if x.ndim < 2 or x.shape[1] != sources:
                return x  # not a feature of positions
            here = jnp.arange(sources) == place
            return jnp.where(here.reshape(1, -1, *(1,) * (x.ndim - 2)), other, x)

        features, others = stage("project", x), stage("project", other)
        projected = jax.vmap(lambda p: stage("project", put(x, other, p)))
        values = stage("values", features)
        moved = jax.vmap(
            lambda p: stage(
                "values", jax.tree.map(lambda a, b: put(a, b, p), features, others)
            )
        )
        mixed = stage("combine", features, values, geometry, knobs)
        replaced = jax.vmap(
            lambda p: stage(
                "finish",
                jax.tree.map(lambda a, b: put(a, b, p), features, others),
                mixed if queries != sources else put(mixed, mixed + 1, p),
            )
        )
        places = jnp.arange(sources)
        return (
            (features, projected(places)),
            (values, moved(places)),
            (stage("finish", features, mixed), replaced(places)),
        )

    arguments = (subject.params, subject.x, subject.other_x, subject.geometry)
    found = subject.program("local", probe, *arguments, subject.knobs())
    by_project, by_values, by_finish = found
    features, projected = by_project

    def judge() -> Iterator[str | None]:
        flat = jax.tree_util.tree_flatten_with_path(by_project[0])[0]
        for (path, leaf), moved in zip(
            flat, jax.tree.leaves(by_project[1]), strict=True
        ):
            if leaf.ndim >= 2 and leaf.shape[1] == sources and leaf.dtype.kind == "f":
                what = f"the feature {jax.tree_util.keystr(path)}"
                stage = f"project mixes positions (lookback is {back})"
                yield _judge(subject, f"{stage}: change of {what}", leaf, moved, back)
        yield _judge(subject, "values mixes positions: change of v", *by_values)
        if queries == sources:
            yield _judge(subject, "finish mixes positions: change of y", *by_finish)

    return first(judge())


def _judge(
    subject: Specimen, label: str, before: Any, moved: Any, back: int = 0
) -> str | None:
    """Compares ``[B, S, ...]`` with ``[S, B, S, ...]``, which change one place each."""
    change = np.abs(np.asarray(moved, float) - np.asarray(before, float)[None])
    change = change.max(axis=(1, *range(3, change.ndim)))
    place, reader = np.arange(len(change))[:, None], np.arange(len(change))[None]
    foreign = (reader < place) | (reader > place + back)
    axes = ("changed position", "position")
    return difference(label, change * foreign, 0, axes, 10 * subject.tolerance)
