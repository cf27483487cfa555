"""What of the routers is in effect: their settings, their knobs and their code.

A config says only part of it. A router takes the model's sizes where it has fields of
these names, its own defaults elsewhere, and a router of another package has code that
no version of ours stands for.
"""

import dataclasses
import hashlib
import math
import sys
import types
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from routers.base import Router
from sweeps.design.experiment import Experiment
from sweeps.design.parse import Routers

OURS = "routers"
"""Package of the routers whose code the version and the commit of Onset stand for."""


def settings_in_effect(experiment: Experiment) -> dict[str, Any]:
    """Every router of a sweep with all its settings and knobs, as JSON values.

    Returns:
      For each slot ``router`` (``module:Class``), ``settings`` (every field of its
      dataclass) and ``knobs``, each with its range, and with the value at which it is
      held, or None for the one that is swept. A range without an end has None there.
    """
    return {
        slot: {
            "router": f"{router.__module__}:{router.__qualname__}",
            "settings": {
                field.name: _plain(getattr(settings, field.name))
                for field in dataclasses.fields(settings)
            },
            "knobs": {
                name: {
                    "value": _plain(experiment.fixed.get(f"{slot}.{name}")),
                    "neutral": _plain(knob.neutral),
                    "low": _plain(knob.low),
                    "high": _plain(knob.high),
                }
                for name, knob in router.knobs.items()
            },
        }
        for slot, (router, settings) in experiment.routers.items()
    }


def code_in_effect(routers: Routers) -> dict[str, Any]:
    """Identifies the code of routers that are not part of Onset.

    Returns:
      For each slot whose router comes from elsewhere, the SHA-256 of every module that
      the router is made of, and the version of every distribution that they belong to.
      Empty for Onset's own routers.
    """
    found = {}
    for slot, (router, _) in routers.items():
        modules = _modules_of(router)
        if modules:
            found[slot] = {
                "router": f"{router.__module__}:{router.__qualname__}",
                "modules": {name: _digest(sys.modules[name]) for name in modules},
                "distributions": _distributions(modules),
            }
    return found


def _modules_of(router: type[Router]) -> list[str]:
    """Names of the foreign modules that define a router, or that these refer to.

    Modules are followed as far as they lie in the packages of the router's classes.
    """
    first = [
        parent.__module__
        for parent in router.__mro__
        if issubclass(parent, Router) and _top(parent.__module__) != OURS
    ]
    tops = set(map(_top, first))
    found: set[str] = set()
    while first:
        name = first.pop()
        if name in found or name not in sys.modules:
            continue
        found.add(name)
        for value in list(vars(sys.modules[name]).values()):
            module = isinstance(value, types.ModuleType)
            place = value.__name__ if module else getattr(value, "__module__", None)
            if isinstance(place, str) and _top(place) in tops:
                first.append(place)
    return sorted(found)


def _top(module: str) -> str:
    return module.partition(".")[0]


def _digest(module: types.ModuleType) -> str | None:
    """SHA-256 of a module's file, or None where it has none, as in a notebook."""
    try:
        return hashlib.sha256(Path(module.__file__ or "").read_bytes()).hexdigest()
    except OSError:
        return None


def _distributions(modules: list[str]) -> dict[str, str]:
    offered = packages_distributions()
    names = {name for one in modules for name in offered.get(_top(one), ())}
    return {name: version(name) for name in sorted(names)}


def _plain(value: Any) -> Any:
    """A setting as JSON can hold it."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    try:
        return jnp.dtype(value).name
    except TypeError:
        return repr(value)
