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
    """`project` and `finish` work position by position; only `combine` mixes.

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
            features,
            projected(places),
            stage("finish", features, mixed),
            replaced(places),
        )

    arguments = (subject.params, subject.x, subject.other_x, subject.geometry)
    found = subject.program("local", probe, *arguments, subject.knobs())
    features, projected, y, finished = jax.tree.map(np.asarray, found)
    place, reader = np.arange(sources)[:, None], np.arange(sources)[None]
    mixing = (reader < place) | (reader > place + back)  # [changed, reader]

    def judge() -> Iterator[str | None]:
        flat = jax.tree_util.tree_flatten_with_path(features)[0]
        for (path, leaf), moved in zip(flat, jax.tree.leaves(projected), strict=True):
            if leaf.ndim < 2 or leaf.shape[1] != sources or leaf.dtype.kind != "f":
                continue
            change = np.abs(moved - leaf[None])
            change = change.max(axis=(1, *range(3, change.ndim)))
            yield difference(
                f"project mixes positions (lookback is {back}): change of the feature "
                f"{jax.tree_util.keystr(path)}",
                np.where(mixing, change, 0),
                0,
                ("changed position", "position"),
                10 * subject.tolerance,
            )
        if queries == sources:
            change = np.abs(finished - y[None]).max(axis=(1, 3))
            yield difference(
                "finish mixes positions: change of y",
                np.where(place == reader, 0, change),
                0,
                ("changed position", "position"),
                10 * subject.tolerance,
            )

    return first(judge())
