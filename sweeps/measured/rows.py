"""The passes that a measurement consists of: the model as it is, and its nulls.

A pass takes all windows through all layers with one setting of everything. Passes that
would be equal, such as the brake alone at brake 0 and uniform routing, are one.
"""

import hashlib
import json
from typing import NamedTuple

from routers.pretrained import Model
from routers.signature.nulls import REAL, UNTRAINED
from train.published import changes_of

UNIFORM, BRAKE_ONLY = "uniform", "brake_only"
RANDOM_TOKENS, PERMUTED_TOKENS = "random_tokens", "permuted_tokens"
TEXT = "text"


class Row(NamedTuple):
    """One pass.

    Attributes:
      null: Name of the null, ``""`` for the model as it is.
      value: Index of the value of the swept knob at which it is used.
      knobs: Name and value of every knob, sorted.
      tokens: `TEXT`, or the null that replaces the tokens.
      untrained: Whether the weights are drawn anew.
      change: Change of features, or ``""``.
    """

    null: str
    value: int
    knobs: tuple[tuple[str, float], ...]
    tokens: str = TEXT
    untrained: bool = False
    change: str = ""

    @property
    def name(self) -> str:
        """A name for what is computed, the same for equal passes."""
        what = json.dumps([self.knobs, self.tokens, self.untrained, self.change])
        return hashlib.sha256(what.encode()).hexdigest()[:16]


def make_rows(
    model: Model,
    fixed: dict[str, float],
    knob: str,
    values: tuple[float, ...],
    neutral: float,
) -> tuple[list[Row], dict[str, str]]:
    """All passes, and why some nulls do not exist.

    Args:
      model: The opened model.
      fixed: Value of every knob that is not swept.
      knob: The swept knob.
      values: Its values, increasing.
      neutral: Its neutral value, at which the model is the published one. Nulls that
        explain and never decide are taken there, if it is among the values.
    """

    def knobs(value: float, **other: float) -> tuple[tuple[str, float], ...]:
        chosen = fixed | {knob: value} | other
        return tuple(sorted(chosen.items()))

    rows = []
    for index, value in enumerate(values):
        own = knobs(value)
        rows += [
            Row(REAL, index, own),
            Row(BRAKE_ONLY, index, knobs(value, content=0.0)),
            Row(UNIFORM, index, knobs(value, content=0.0, brake=0.0)),
            Row(UNTRAINED, index, own, untrained=True),
        ]
    made, absent = changes_of(model)
    if neutral in values:
        index, own = values.index(neutral), knobs(neutral)
        rows += [Row(name, index, own, change=name) for name in made]
        rows += [
            Row(name, index, own, tokens=name)
            for name in (RANDOM_TOKENS, PERMUTED_TOKENS)
        ]
    else:
        why = f"the neutral value {neutral:g} of {knob} is not among the values"
        absent |= dict.fromkeys((*made, RANDOM_TOKENS, PERMUTED_TOKENS), why)
    return rows, absent
