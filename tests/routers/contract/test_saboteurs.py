"""Every variant of every kind of wrong router is caught, by the check of its kind.

| kind | what is wrong | check |
|---|---|---|
| fast path | the fast path applies other weights | `mixes_what_it_reports` |
| report | `route` reports other weights | `mixes_what_it_reports` |
| carry | errors between chunks, in long sequences only | `mixes_what_it_reports` |
| future | outputs know the future | `ignores_the_future` |
| length | the routing depends on the length | `ignores_the_length` |
| batch | rows of the batch know each other | `ignores_other_rows` |
| geometry | rows read the geometry of other rows | `geometry_is_per_row` |
| knobs per head | heads read the knobs of other heads | `knobs_act_per_head` |
| idle knob | a declared knob changes nothing | `every_knob_matters` |
| neutral | a knob does something at its neutral value | `neutral_values_do_nothing` |
| not finite | values or gradients are not finite | `finite_everywhere` |
| trace | every trace gives another router | `is_deterministic` |
| key norms | norms are not those of the keys | `norms_are_those_of_the_features` |
| hidden mixing | `project` or `finish` mix positions | `stages_are_local` |
| rows | weights are no shares | `rows_are_shares` |
| content | the weights do not depend on the content | `weights_depend_on_content` |
| hidden values | `values` mixes positions | `stages_are_local` |
| brake | a strong brake leaves mass far away | `strong_brake_keeps_the_nearest` |

`test_declarations` has the kinds that need no variants: types, shapes, names, limits.
"""

import dataclasses
import functools
import re
from typing import Any

import jax.numpy as jnp
import pytest

from routers.contract import CHECKS, Specimen, examine, specimen
from routers.contract.differences import Unchecked
from tests.routers.contract import (
    saboteurs_dependence,
    saboteurs_limits,
    saboteurs_mixing,
)
from tests.routers.contract.honest import FAMILIES, WIDTH, Honest, HonestConfig

assert saboteurs_dependence and saboteurs_limits and saboteurs_mixing  # register
LEAST = 11
LONG = ("carry", "length")
"""Families whose faults show in long sequences only."""


@functools.cache
def subject(family: str) -> Specimen:
    """The correct router, with the variants of a family in its program."""
    config = HonestConfig(family=family)
    honest = specimen(Honest(width=WIDTH, config=config), FAMILIES[family].kind)
    if family in LONG:
        return honest
    x, geometry = honest.x[:1], honest.geometry
    return dataclasses.replace(honest, long_x=x, long_geometry=geometry)


def with_variant(honest: Specimen, number: int) -> Specimen:
    """The same specimen as a variant of its family; programs are shared."""
    params: Any = honest.params
    own = params["params"] | {"variant": jnp.float32(number)}
    return dataclasses.replace(honest, params=params | {"params": own})


def test_the_correct_router_passes_everything() -> None:
    failed = [f for f in examine(Honest(width=WIDTH)) if not f.passed or f.unchecked]
    assert failed == []


@pytest.mark.parametrize("family", FAMILIES)
def test_every_variant_is_caught_and_the_correct_one_is_not(family: str) -> None:
    check = CHECKS[FAMILIES[family].check]
    assert check(with_variant(subject(family), 0)) is None
    missed = {}
    for number, name in enumerate(FAMILIES[family].variants, start=1):
        found = check(with_variant(subject(family), number))
        if not found or isinstance(found, Unchecked) or not is_clear(found):
            missed[name] = found
    assert missed == {}
    assert len(FAMILIES[family].variants) >= LEAST


def is_clear(line: str) -> bool:
    """Whether a message is one line with a value and words."""
    return "\n" not in line and bool(re.search(r"[a-z]{3,}.*\d", line))
