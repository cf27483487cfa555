"""Wrong declarations, types, names and limits are named, each in one line."""

import dataclasses
import functools
import math
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import pytest

from routers.base import Knob, Router, Routing
from routers.contract import (
    CHECKS,
    DECLARATIONS,
    Specimen,
    examine,
    specimen,
)
from routers.contract import second_process as elsewhere
from tests.routers.contract.honest import WIDTH, Honest, HonestConfig


def declared(**attributes: Any) -> Router:
    """The correct router with other class attributes."""
    return type("Changed", (Honest,), attributes)(width=WIDTH)


def knobs(**changed: Any) -> dict[str, Any]:
    return {k: v for k, v in (Honest.knobs | changed).items() if v is not None}


FINE = Knob(0.0, 0.0, math.inf, "a knob")
DECLARED = {
    "no brake": ({"knobs": knobs(brake=None)}, "brake missing"),
    "no content": ({"knobs": knobs(content=None)}, "content missing"),
    "no knobs": ({"knobs": {}}, "knobs: must map"),
    "a tuple": ({"knobs": knobs(brake=(0, 0, 1, "?"))}, "brake must be a routers.base"),
    "neutral below": ({"knobs": knobs(brake=FINE._replace(neutral=-1.0))}, "-1.0 must"),
    "neutral above": (
        {"knobs": knobs(content=Knob(2.0, 0.0, 1.0, "c"))},
        "2.0 must lie between low 0.0 and high 1.0",
    ),
    "not a number": ({"knobs": knobs(brake=FINE._replace(low=math.nan))}, "numbers"),
    "text": ({"knobs": knobs(brake=FINE._replace(high="1"))}, "numbers"),
    "infinite neutral": (
        {"knobs": knobs(brake=FINE._replace(neutral=math.inf))},
        "must be finite",
    ),
    "no range": ({"knobs": knobs(null_sink=Knob(0.0, 0.0, 0.0, "s"))}, "below high"),
    "brake without 0": ({"knobs": knobs(brake=Knob(1.0, 0.5, 2.0, "b"))}, "must be 0"),
    "no meaning": ({"knobs": knobs(brake=FINE._replace(meaning=" "))}, "meaning"),
    "two lines": ({"knobs": knobs(brake=FINE._replace(meaning="a\nb"))}, "one line"),
    "unknown kind": ({"kinds": frozenset({"cuasal"})}, "did you mean 'causal'"),
    "kind as text": ({"kinds": "causal"}, "must be a frozenset"),
    "no kind": ({"kinds": frozenset()}, "must be a frozenset"),
    "plural kind": ({"kinds": frozenset({"graphs"})}, "did you mean 'graph'"),
    "kind of another slot": ({"kinds": frozenset({"depth"})}, "slot 'token'"),
    "unknown slot": ({"slot": "tokens"}, "did you mean 'token'"),
    "unknown role": ({"roles": {"keys": "key"}}, "did you mean 'key'"),
    "role in capitals": ({"roles": {"Value": "value"}}, "'Value' must be one of"),
    "roles as a list": ({"roles": ["key"]}, "must map names to paths"),
    "negative reach": ({"reach": -1.0}, "reach"),
    "infinite reach": ({"reach": math.inf}, "reach"),
    "reach as text": ({"reach": "1"}, "reach"),
    "misspelt roles": ({"role": {"key": "key"}}, "did you mean 'roles'"),
    "misspelt combine": ({"combines": lambda self: 0}, "did you mean 'combine'"),
    "misspelt lookback": ({"look_back": lambda self: 1}, "did you mean 'lookback'"),
    "misspelt rescaled": ({"rescaled_row": True}, "did you mean 'rescaled_rows'"),
    "misspelt circuits": ({"circuit": lambda self: None}, "did you mean 'circuits'"),
}


@pytest.mark.parametrize("name", DECLARED)
def test_a_wrong_declaration_is_named(name: str) -> None:
    attributes, message = DECLARED[name]
    details = [check(declared(**attributes)) for check in DECLARATIONS.values()]
    found = [detail for detail in details if detail]
    assert found and message in found[0], found
    assert "\n" not in found[0].replace("\\n", "")
    assert not all(f.passed for f in examine(declared(**attributes)))


def test_settings_must_be_a_frozen_dataclass() -> None:
    thawed = dataclasses.make_dataclass("Thawed", [("heads", int, 2)])
    for config, message in ((thawed(), "frozen"), (None, "dataclass")):
        router = Honest(width=WIDTH, config=config)
        found = DECLARATIONS["declares_what_exists"](router)
        assert found and message in found


@functools.cache
def honest() -> Specimen:
    return specimen(Honest(width=WIDTH), "causal")


def altered(change: Any) -> Specimen:
    """The correct specimen with a router whose routing is changed; nothing compiled."""

    class Altered(Honest):
        def route(self, *arguments: Any) -> Any:
            return change(super().route(*arguments))

    return dataclasses.replace(
        honest(), router=Altered(width=WIDTH), programs={}, traces={}
    )


def replaced(name: str, change: Any) -> Any:
    return lambda routing: routing.replace(**{name: change(getattr(routing, name))})


SHAPES = {
    "weights in half": replaced("weights", lambda w: w.astype(jnp.bfloat16)),
    "weights [B, T, S]": replaced("weights", lambda w: w[:, 0]),
    "weights [B, T, H, S]": replaced("weights", lambda w: w.swapaxes(1, 2)),
    "weights of one head": replaced("weights", lambda w: w[:, :1]),
    "weights without a source": replaced("weights", lambda w: w[..., 1:]),
    "weights of one row": replaced("weights", lambda w: w[:1]),
    "null mass [B, T]": replaced("null_mass", lambda m: m[:, 0]),
    "null mass [B, H, T, 1]": replaced("null_mass", lambda m: m[..., None]),
    "null mass in half": replaced("null_mass", lambda m: m.astype(jnp.float16)),
    "key norms [B, S, H]": replaced("key_norms", lambda n: n.swapaxes(1, 2)),
    "value norms [B, S]": replaced("value_norms", lambda n: n[:, 0]),
    "cancellation [H]": lambda routing: routing.replace(cancellation=jnp.ones(2)),
    "not a Routing": lambda routing: (routing.weights,),
}


@pytest.mark.parametrize("name", SHAPES)
def test_wrong_shapes_and_dtypes_are_named(name: str) -> None:
    subject = altered(SHAPES[name])
    subject.programs["call"] = subject.router.apply  # not compiled
    found = CHECKS["shapes_and_dtypes"](subject)
    assert found and ("must be" in found or "ask for" in found), found


class Widened(Honest):
    """Gives its output in another type than its input."""

    def finish(self, features: Any, mixed: Any) -> Any:
        return super().finish(features, mixed).astype(jnp.float16)


def test_another_output_type_is_named() -> None:
    subject = dataclasses.replace(
        honest(), router=Widened(width=WIDTH), programs={}, traces={}
    )
    found = CHECKS["shapes_and_dtypes"](subject)
    assert found == "y is float16 for x float32, must be float32"


ROLES = {
    "no such field": ({"key": "keys"}, "does not name a field"),
    "no such path": ({"key": "key.inner"}, "does not name a field"),
    "swapped": ({"query": "key", "key": "query"}, "is it the"),
    "value as key": ({"key": "value"}, "no effect on the weights"),
    "value as query": ({"query": "value"}, "no effect on the weights"),
    "value as channel key": ({"channel_key": "value"}, "no effect on the weights"),
    "key as value": ({"value": "key"}, "values must not enter the score"),
    "query as value": ({"value": "query"}, "values must not enter the score"),
    "key as depth value": ({"depth_value": "key"}, "must not enter the score"),
    "query as key": ({"key": "query"}, "query"),
    "key as query": ({"query": "key"}, "is it the key?"),
}


@pytest.mark.parametrize("name", ROLES)
def test_wrong_roles_are_named(name: str) -> None:
    roles, message = ROLES[name]
    router = declared(roles=roles)
    subject = dataclasses.replace(honest(), router=router, programs={}, traces={})
    found = CHECKS["roles_are_what_they_claim"](subject)
    assert found and message in found, found


MEANINGS = {
    "penalty; at inf the identity": True,
    "penalty; inf is the identity": True,
    "at infinity the identity": True,
    "0 to inf: from content to the identity": True,
    "the identity (inf)": True,
    "limit inf: the nearest": True,
    "becomes the identity for inf": True,
    "when inf, the identity": True,
    "from 0 (content) up to inf (identity)": True,
    "identity at brake = inf": True,
    "inf gives the identity": True,
    "penalty; towards inf the identity": False,
    "penalty without information": False,
}


@pytest.mark.parametrize("meaning", MEANINGS)
def test_a_limit_is_promised_only_where_it_holds(meaning: str) -> None:
    """The correct router gives no number at inf, since inf times 0 is none."""
    router = declared(knobs=knobs(brake=FINE._replace(meaning=meaning)))
    # The meaning enters no program, so those of the correct router serve.
    subject = dataclasses.replace(honest(), router=router)
    found = CHECKS["promised_limits_hold"](subject)
    assert bool(found) is MEANINGS[meaning]
    assert not found or ("not finite at inf" in found and meaning in found)


class Crooked(Honest):
    """Claims circuits that are another matrix."""

    def circuits(self) -> Any:
        return jnp.ones((2, WIDTH, WIDTH))


def test_wrong_circuits_are_named() -> None:
    router = Crooked(width=WIDTH)
    subject = dataclasses.replace(honest(), router=router, programs={}, traces={})
    found = CHECKS["circuits_are_the_output"](subject)
    assert found and "circuits" in found


class RaisesNothing(Honest):
    """Raises an error without a message when it is built."""

    def setup(self) -> None:
        raise ValueError


def test_a_router_that_cannot_be_built_is_a_finding() -> None:
    findings = examine(RaisesNothing(width=WIDTH))
    details = {f.detail for f in findings if not f.passed}
    assert details == {"ValueError (test_declarations.py:223, in setup)"}


ROLLED = float(np.random.default_rng().random())


class Rolled(Honest):
    """Reads a number that was drawn when the module was imported."""

    config: HonestConfig = HonestConfig()
    kinds: ClassVar = frozenset({"causal"})

    def combine(self, features: Any, values: Any, geometry: Any, knobs: Any) -> Any:
        return ROLLED * super().combine(features, values, geometry, knobs)

    def route(self, features: Any, geometry: Any, knobs: Any) -> Routing:
        routing = super().route(features, geometry, knobs)
        return routing.replace(weights=ROLLED * routing.weights)


def test_what_is_drawn_at_import_shows_in_another_process() -> None:
    check = elsewhere.agrees_with_another_process
    found = check(Rolled(width=WIDTH), "causal", 0)
    assert found and "in another process: found" in found


def test_norms_written_by_the_values_are_checked() -> None:
    """Heads lie side by side here, so a value writes what it is."""
    check = CHECKS["norms_are_those_of_the_features"]
    for factor, passes in ((1.0, True), (1.1, False)):
        subject = altered(
            lambda r, f=factor: r.replace(written_norms=f * r.value_norms)
        )
        subject.programs["call"] = subject.router.apply  # not compiled
        found = check(subject)
        assert found is None if passes else "written_norms" in found, found
