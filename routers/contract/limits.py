"""Checks of what knobs do: at their ends, at their neutral values, and at all."""

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from routers.contract.differences import (
    ROWS,
    WEIGHTS,
    Y,
    difference,
    first,
    position,
)
from routers.contract.specimen import Specimen, settings

STRONG = (1e5, 1e7, 1e9)
"""Brakes that stand for infinity. Where the brake multiplies a learned decay that is
small, only the greater ones are strong."""
LEAST_EFFECT = 1e-6
STEPS = (1e-3, 1e-4, 1e-5)
"""Distances from the neutral value at which a knob must do almost nothing yet."""


def no_content_no_brake_is_uniform(subject: Specimen) -> str | None:
    """At ``content = 0, brake = 0`` each row is uniform over its sources."""
    _, routing = subject.call(subject.knobs(content=0.0, brake=0.0))
    mask = np.asarray(subject.geometry.mask, float)
    even = mask / mask.sum(-1, keepdims=True)
    if routing.null_mass is not None:
        even = even * (1 - np.asarray(routing.null_mass))[..., None]
    found = routing.weights
    return difference("weight at content=0, brake=0", found, even, WEIGHTS)


def zero_brake_ignores_distance(subject: Specimen) -> str | None:
    """At ``brake = 0`` neither output nor weights depend on distances."""
    far = subject.geometry.replace(distance=3.0 * subject.geometry.distance + 1.0)
    near_y, near = subject.call(subject.knobs(brake=0.0))
    far_y, routed = subject.call(subject.knobs(brake=0.0), geometry=far)
    named = "at brake=0 with other distances"
    return difference(f"y {named}", far_y, near_y, Y) or difference(
        f"weight {named}", routed.weights, near.weights, WEIGHTS
    )


def strong_brake_keeps_the_nearest(subject: Specimen) -> str | None:
    """As the brake grows, all mass moves to sources within the router's reach."""
    found = ""
    for strong in STRONG:
        brake = min(strong, subject.router.knobs["brake"].high)
        _, routing = subject.call(subject.knobs(brake=brake))
        found = _judge_nearest(subject, f"brake={brake:g}", routing) or ""
        if not found:
            return None
    return found


def _judge_nearest(subject: Specimen, label: str, routing: Any) -> str | None:
    reach = subject.router.reach
    distance = np.where(subject.geometry.mask, subject.geometry.distance, np.inf)
    beyond = distance > distance.min(-1, keepdims=True) + reach
    leaked = np.where(beyond, np.asarray(routing.weights), 0)
    further = f" and those up to {reach:g} further" if reach else ""
    name = f"{label} must leave only the nearest source{further}: weight of another"
    return difference(name, leaked, 0, WEIGHTS, 100)


def every_knob_matters(subject: Specimen) -> str | None:
    """Every declared knob changes y; brake and content change the weights too."""

    def judge() -> Iterator[str | None]:
        for name, knob in subject.router.knobs.items():
            outputs = [subject.call(subject.knobs(**{name: v})) for v in settings(knob)]
            values = ", ".join(f"{v:g}" for v in settings(knob))
            weights = np.stack([np.asarray(r.weights) for _, r in outputs])
            y = np.stack([np.asarray(y, float) for y, _ in outputs])
            for what, found in (("y", y), ("the weights", weights)):
                if what != "y" and name not in ("brake", "content"):
                    continue
                effect = np.ptp(found, axis=0).max()
                if not effect > LEAST_EFFECT:
                    yield (
                        f"{name}: {what} changed by only {effect:.2g} between the "
                        f"values {values}; a declared knob must have an effect"
                    )

    return first(judge())


def weights_depend_on_content(subject: Specimen) -> str | None:
    """Every row with a choice has other weights for another input, in every head.

    The content of learned residuals over depth may be parameters alone, so these are
    changed there too.
    """
    knobs, params = subject.knobs(), subject.params
    learned = subject.router.slot == "depth"
    others = jax.tree.map(lambda p: 1.5 * p, params) if learned else params
    rows = [
        np.asarray(dataclasses.replace(subject, params=p).call(knobs, x=x)[1].weights)
        for p, x in ((params, subject.x), (others, subject.other_x))
    ]
    effect = np.abs(rows[0] - rows[1]).max(axis=(0, 3))
    choice = np.asarray(subject.geometry.mask).sum(-1) > 1
    effect = np.where(choice[None], effect, np.inf)
    head, query = np.unravel_index(np.argmin(effect), effect.shape)
    least = effect[head, query]
    if least > LEAST_EFFECT:
        return None
    what = "x and all parameters" if learned else "x"
    return (
        f"weights at {position((head, query), WEIGHTS[1:3])} changed by {least:.2g} "
        f"when all of {what} changed; they must depend on the content"
    )


def neutral_values_do_nothing(subject: Specimen) -> str | None:
    """Near its neutral value a knob does almost nothing; without a sink no null mass.

    What the router would be without a knob cannot be called. What can be said is that
    the effect of a knob starts at its neutral value, where nothing may jump, and that
    the null source has no weight at 0 and only rescales rows otherwise.
    """

    def judge() -> Iterator[str | None]:
        for name in subject.router.knobs:
            yield from _judge_jump(subject, name)
        if "null_sink" in subject.router.knobs:
            yield from _judge_sink(subject)

    return first(judge())


def _judge_jump(subject: Specimen, name: str) -> Iterator[str | None]:
    knob = subject.router.knobs[name]
    _, neutral = subject.call(subject.knobs())

    def change(value: float) -> float:
        _, routing = subject.call(subject.knobs(**{name: value}))
        return float(np.abs(routing.weights - neutral.weights).max())

    for sign in (1, -1):
        steps = [sign * step for step in STEPS]
        if not knob.low <= knob.neutral + 2 * steps[0] <= knob.high:
            continue
        changes = [
            (change(knob.neutral + step), change(knob.neutral + 2 * step))
            for step in steps
        ]
        # Where a knob starts smoothly, twice the distance has twice the effect.
        if all(near > 1e-4 and near > 0.8 * far for near, far in changes):
            yield (
                f"{name}: weights jump by {changes[-1][0]:.2g} next to the neutral "
                f"value, from {knob.neutral:g} to {knob.neutral + steps[-1]:g}; the "
                "effect of a knob must start at 0 there"
            )


def _judge_sink(subject: Specimen) -> Iterator[str | None]:
    _, without = subject.call(subject.knobs(null_sink=0.0))
    null = 0.0 if without.null_mass is None else without.null_mass
    yield difference("null_sink=0: null mass", null, 0, ROWS)
    for value in settings(subject.router.knobs["null_sink"])[1:]:
        _, routing = subject.call(subject.knobs(null_sink=value))
        if routing.null_mass is None:
            yield f"null_sink={value:g}: null_mass must be reported, not None"
            return
        left = 1 - np.asarray(routing.null_mass)[..., None]
        wanted = left * np.asarray(without.weights)
        what = f"null_sink={value:g}: weight, not that without a sink times 1 - null"
        yield difference(what, routing.weights, wanted, WEIGHTS)


def promised_limits_hold(subject: Specimen) -> str | None:
    """A meaning that promises something "at inf" is right about the value inf."""

    def judge() -> Iterator[str | None]:
        for name, knob in subject.router.knobs.items():
            if np.isfinite(knob.high):
                continue
            if not re.search(r"(?<!towards )\binf(?:inity)?\b", knob.meaning):
                continue
            y, routing = subject.call(subject.knobs(**{name: np.inf}))
            for what, found in (("y", y), ("a weight", routing.weights)):
                if not np.isfinite(np.asarray(found, float)).all():
                    yield (
                        f"{name}: its meaning {knob.meaning!r} promises a limit, but "
                        f'{what} is not finite at inf; write "towards inf"'
                    )
            if name == "brake":
                yield _judge_nearest(subject, "brake=inf", routing)

    return first(judge())
