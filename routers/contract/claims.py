"""Checks of what a router says of its insides: norms, roles, circuits, channels."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from routers.base import Array, head_norms, read_role
from routers.contract.differences import (
    LONG,
    SOURCES,
    Y,
    difference,
    first,
    one_line,
)
from routers.contract.specimen import Specimen
from routers.contract.weights import channel_shares
from routers.signature.diagnostic import replace_role

PLACE = 4
"""Position at which a role is changed."""


def roles_are_what_they_claim(subject: Specimen) -> str | None:
    """Every role names a feature, which acts as a query, a key or a value does."""
    roles = subject.router.roles
    if not roles:
        return None
    try:
        features = _features(subject)
    except Exception as error:
        return f"project: {one_line(error)}"
    batch, sources, _ = subject.x.shape
    for role, path in roles.items():
        try:
            found = read_role(features, path)
            replace_role(features, path, found)
        except AttributeError as error:
            return (
                f"roles: {role} = {path!r} does not name a field of a "
                f"flax.struct.PyTreeNode: {error}"
            )
        if found.ndim < 3 or found.shape[:2] != (batch, sources):
            return (
                f"roles: {role} = {path!r} has shape {found.shape}, must be "
                f"[{batch}, {sources}, ...]"
            )
    return first(_judge_roles(subject, roles))


def _features(subject: Specimen) -> Any:
    return jax.jit(lambda params, x: subject.router.apply(params, x, method="project"))(
        subject.params, subject.x
    )


def _judge_roles(subject: Specimen, roles: Mapping[str, str]) -> Iterator[str | None]:
    found = jax.tree.map(np.asarray, _measure_roles(subject))
    base = found["route"].weights
    causal = subject.kind == "causal"
    queries = base.shape[2]
    for role in roles:
        weights = found[role].weights
        change = np.abs(weights - base)
        effect = change.max()
        if role == "value" or role == "depth_value":
            if effect > 1e-6:
                yield (
                    f"roles: {role} changed the weights by {effect:.2g}; values must "
                    "not enter the score"
                )
            continue
        if not effect > 1e-6:
            yield (
                f"roles: {role} = {roles[role]!r} has no effect on the weights, but it "
                "must be a factor of the score"
            )
        rows = np.arange(queries)
        if role == "query":
            others = change[:, :, rows != PLACE]
            if queries > 1 and others.max() > 1e-5:
                yield (
                    f"roles: query at position {PLACE} changed the weights of other "
                    f"queries by {others.max():.2g}; is it the key?"
                )
        if role == "key":
            yield _judge_key(weights, base)
        if role in ("key", "channel_key") and causal:
            earlier = change[:, :, rows < PLACE]
            if earlier.max() > 1e-5:
                yield (
                    f"roles: {role} at position {PLACE} changed the weights of earlier "
                    f"queries by {earlier.max():.2g}"
                )


def _judge_key(weights: Any, base: Any) -> str | None:
    """A key moves only its own column, and the others in proportion."""
    kept = np.arange(base.shape[-1]) != PLACE
    before, after = base[..., kept], weights[..., kept]
    totals = before.sum(-1, keepdims=True), after.sum(-1, keepdims=True)
    usable = (totals[0] > 1e-3) & (totals[1] > 1e-3)
    shares = [
        np.where(usable, w / np.where(usable, t, 1), 0)
        for w, t in zip((before, after), totals, strict=True)
    ]
    gap = np.abs(shares[0] - shares[1]).max()
    if gap <= 1e-3:
        return None
    return (
        f"roles: key at position {PLACE} changed the proportions of other sources by "
        f"{gap:.2g}; is it the query?"
    )


def _measure_roles(subject: Specimen) -> dict[str, Any]:
    """Routing with each role changed at one position, and norms with it doubled."""
    roles, router = subject.router.roles, subject.router

    def measure(params: Any, x: Array, geometry: Any, knobs: Any) -> dict[str, Any]:
        features = router.apply(params, x, method="project")

        def routed(role: str) -> Any:
            path = roles[role]
            value = read_role(features, path).astype(jnp.float32)
            here = jnp.arange(value.shape[1]) == PLACE
            here = here.reshape(1, -1, *(1,) * (value.ndim - 2))
            # The neighbour's vector, turned, is of the right size but another one.
            other = 0.7 * jnp.flip(jnp.roll(value, 1, axis=1), -1) + 0.3
            changed = replace_role(features, path, jnp.where(here, other, value))
            return router.apply(params, changed, geometry, knobs, method="route")

        found = {role: routed(role) for role in roles}
        found["route"] = router.apply(params, features, geometry, knobs, method="route")
        return found

    arguments = (subject.params, subject.x, subject.geometry, _plain_keys(subject))
    found: dict[str, Any] = subject.program("roles", measure, *arguments)
    return found


def _plain_keys(subject: Specimen) -> dict[str, Array]:
    """Neutral knobs, with keys as they are and a brake under which all have weight."""
    knobs = subject.router.knobs
    plain = {"key_normalization": 0.0} if "key_normalization" in knobs else {}
    return subject.knobs(**plain)


def norms_are_those_of_the_features(subject: Specimen) -> str | None:
    """The norms that `route` reports are those of keys, values and what they write."""
    knobs = _plain_keys(subject)
    routing = subject.call(knobs)[1]
    features = _features(subject)
    sources = subject.x.shape[1]

    def judge() -> Iterator[str | None]:
        if subject.defines("values") or "value" in subject.router.roles:
            values = subject.stage("values", features)
            for name, norms_of_values in (
                ("value_norms", head_norms),
                ("written_norms", lambda v: _norms_written(subject, features, v)),
            ):
                if (reported := getattr(routing, name)) is not None:
                    wanted = norms_of_values(values)
                    yield difference(name, reported, wanted, SOURCES)
        path = subject.router.roles.get("key")
        if routing.key_norms is None or path is None:
            return
        key = read_role(features, path)
        if key.ndim == 4 and key.shape[2] == routing.key_norms.shape[1]:
            yield difference("key_norms", routing.key_norms, head_norms(key), SOURCES)
            return
        # The key may be scaled before it enters the score: then norms follow it.
        order = np.random.default_rng(0).permutation(sources)

        def norms_of(key: Array) -> Any:
            other = replace_role(features, path, key)
            return subject.stage("route", other, subject.geometry, knobs).key_norms

        norms_of, norms = jax.jit(norms_of), routing.key_norms
        moved, doubled = norms_of(key[:, order]), norms_of(2 * key)
        what = "key_norms after the keys"
        yield difference(f"{what} changed places", moved, norms[..., order], SOURCES)
        yield difference(f"{what} were doubled", doubled, 2 * norms, SOURCES)

    return first(judge())


def _norms_written(subject: Specimen, features: Any, values: Array) -> Array:
    """Norms of what the values of each head alone add to the output, ``[B, H, S]``."""
    heads = jnp.eye(values.shape[2])[:, None, None, :, None]
    nothing = subject.stage("finish", features, jnp.zeros_like(values))
    added = [
        subject.stage("finish", features, values * own.astype(values.dtype)) - nothing
        for own in heads
    ]
    return head_norms(jnp.stack(added, axis=2))


def values_are_what_combine_mixes(subject: Specimen) -> str | None:
    """With the role ``value``, all channels of a head share the reported weights."""
    if "value" not in subject.router.roles or not subject.defines("combine"):
        return None

    def judge() -> Iterator[str | None]:
        axes = ("batch", "head", "channel", "query", "source")
        for label, found in subject.anatomies.items():
            matrix = found["matrix"]
            name = f"{label}: matrix of a channel, not the mean of its head"
            mean = matrix.mean(2, keepdims=True)
            yield difference(name, matrix, mean, axes, LONG * subject.tolerance)
        features = _features(subject)
        role = read_role(features, subject.router.roles["value"])
        values = subject.stage("values", features)
        if role.shape != values.shape:
            yield f"roles: value has shape {role.shape}, values gives {values.shape}"
        else:
            named = ("batch", "source", "head", "channel")
            yield difference("the role value, not values", role, values, named)

    return first(judge())


def channel_mass_is_that_of_the_fast_path(subject: Specimen) -> str | None:
    """``channel_mass`` has the column sums of every channel's matrix, as it is applied.

    Its mean over channels has those of the reported weights.
    """

    def judge() -> Iterator[str | None]:
        for label, found in subject.anatomies.items():
            routing = found["routing"]
            if routing.channel_mass is not None:
                yield _judge_channels(subject, label, routing, found.get("matrix"))

    return first(judge())


def _judge_channels(
    subject: Specimen, label: str, routing: Any, matrix: Any
) -> str | None:
    mass = np.asarray(routing.channel_mass)
    what = f"{label}: mean of channel_mass, not the column sum of the weights"
    columns = np.asarray(routing.weights).sum(-2)
    mean = difference(what, mass.mean(2), columns, SOURCES, LONG)
    if mean or matrix is None:
        return mean
    if mass.shape[2] != matrix.shape[2]:
        return (
            f"{label}: channel_mass has {mass.shape[2]} channels, combine mixes "
            f"{matrix.shape[2]}"
        )
    rescaled = routing.cancellation is not None or subject.router.rescaled_rows
    shares, _, empty = channel_shares(matrix, rescaled)
    # Where a row has no magnitude, there is nothing to compare its channel with.
    wanted = np.where(empty.any(-2), mass, shares.sum(-2))
    what = f"{label}: channel_mass, not the column sum of the matrix that mix applies"
    axes = ("batch", "head", "channel", "source")
    return difference(what, mass, wanted, axes, LONG * subject.tolerance)


def circuits_are_the_output(subject: Specimen) -> str | None:
    """``circuits`` gives ``W_O W_V``: what mixed inputs add to the output."""
    circuits = subject.stage("circuits")
    if circuits is None:
        return None
    width = subject.x.shape[-1]
    if circuits.shape != (subject.heads, width, width):
        return (
            f"circuits has shape {circuits.shape}, must be [H, D, D] = "
            f"{(subject.heads, width, width)}"
        )
    if not subject.defines("combine"):
        return None
    sources = subject.x.shape[1]
    shape = (2, *subject.x.shape[:1], subject.heads, sources, sources)
    weights = jax.random.normal(jax.random.key(subject.seed), shape)
    # Rows of the difference sum to 0, so constants in values and output cancel.
    weights = weights - jnp.mean(weights, axis=-1, keepdims=True)

    def outputs(params: Any, x: Array, weights: Array) -> Any:
        features = subject.router.apply(params, x, method="project")

        def output(weights: Array) -> Any:
            given = (params, features, weights)
            return subject.router.apply(*given, method="mix_weights")

        return jax.vmap(output)(weights)

    arguments = (subject.params, subject.x, weights)
    one, two = subject.program("circuits", outputs, *arguments)
    wanted = jnp.einsum(
        "bhts,hed,bsd->bte", weights[0] - weights[1], circuits, subject.x
    )
    name = "y of given weights, not circuits times the mixed input"
    return difference(name, one - two, wanted, Y, 10 * subject.tolerance)
