"""Parses the blocks of a config into routers, knobs and tasks, and checks each."""

import dataclasses
import importlib
import sys
from typing import Any

import jax.numpy as jnp
from ml_collections import ConfigDict

from routers import find_router
from routers.base import Knob, Router
from sweeps.design.config_keys import check_own_setting, closest
from sweeps.errors import BadInput
from train.tasks import Task
from train.tasks.bigram_backcopy import (
    dirichlet_statistics,
    from_counts,
    text_statistics,
)
from train.tasks.byte_text import byte_text
from train.tasks.files import local_path
from train.tasks.graph_data import digits, read_graph
from train.tasks.graphs import csbm, node_classification
from train.tasks.text import DATASET, read_bytes, read_text

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
TASKS = ("bigram_backcopy", "bytes", "csbm", "digits", "graph")
BACKBONE_KEYS = ("block", "distance", "streams")
"""Keys of the ``depth`` block that configure the backbone, not the router."""

Routers = dict[str, tuple[type[Router], Any]]
"""Router class and its settings, by slot."""


def read_dtype(name: str) -> Any:
    """The dtype of matrix products."""
    if name not in DTYPES:
        raise BadInput(f"model.dtype={name!r}: must be one of {', '.join(DTYPES)}")
    return DTYPES[name]


def read_routers(config: ConfigDict) -> Routers:
    """The router of the token slot and, if there is one, of the depth slot."""
    routers = {"token": _router(config, "router", dict(config.router), "token")}
    if config.depth.name:
        own = {k: v for k, v in config.depth.items() if k not in BACKBONE_KEYS}
        routers["depth"] = _router(config, "depth", own, "depth")
    return routers


def _router(
    config: ConfigDict, block: str, settings: dict[str, Any], slot: str
) -> tuple[type[Router], Any]:
    """A router's class and its settings, from its own block and the shared sizes."""
    name = settings.pop("name")
    router, settings_type = _find(block, name)
    if router.slot != slot:
        raise BadInput(
            f"{block}.name={name!r}: is a router of the {router.slot} slot, "
            f"but {block} configures the {slot} slot"
        )
    shared = {
        "heads": config.model.heads,
        "init_scale": config.model.init.router,
        "dtype": read_dtype(config.model.dtype),
    }
    fields = {field.name: field.default for field in dataclasses.fields(settings_type)}
    for key, value in settings.items():
        if key not in fields:
            hint = closest(key, fields)
            raise BadInput(f"{block}.{key}: {name} has no such setting{hint}")
        check_own_setting(f"{block}.{key}", value, fields[key])
    settings = {k: v for k, v in shared.items() if k in fields} | settings
    try:
        return router, settings_type(**settings)
    except (ValueError, TypeError) as error:
        raise BadInput(f"{block}.{error}") from None


def _find(block: str, name: str) -> tuple[type[Router], type]:
    """The router of a name or of ``package.module:Class``, and its settings' class."""
    if ":" not in name:
        return find_router(name)
    try:
        router = load_router(name)
    except BadInput as error:
        raise BadInput(f"{block}.name={name!r}: {error}") from None
    if not dataclasses.is_dataclass(router.config):
        raise BadInput(
            f"{block}.name={name!r}: must have a dataclass as default of `config`"
        )
    return router, type(router.config)


def load_router(target: str) -> type[Router]:
    """Finds a router class by ``package.module:Class`` or by a known name.

    Raises:
      BadInput: it cannot be imported or is not a router; the message leaves it to the
        caller to name the target.
    """
    if ":" not in target:
        return find_router(target)[0]
    module_name, _, class_name = target.partition(":")
    if "" not in sys.path:  # the current folder, as with `python -m`
        sys.path.insert(0, "")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (Exception, SystemExit) as error:  # the module may raise anything
        first = (str(error).splitlines() or [""])[0]
        reason = f"{type(error).__name__}: {first}"
        raise BadInput(f"cannot be imported ({reason})") from None
    if not (isinstance(found, type) and issubclass(found, Router)):
        raise BadInput("must be a subclass of routers.base.Router")
    return found


def read_knobs(config: ConfigDict, routers: Routers) -> dict[str, float]:
    """The value of every knob: the config's, or else the router's neutral value."""
    declared = {
        f"{slot}.{name}": knob
        for slot, (router, _) in routers.items()
        for name, knob in router.knobs.items()
    }
    values = {name: knob.neutral for name, knob in declared.items()}
    for slot, knobs in config.knobs.items():
        for name, value in knobs.items():
            if value is not None:
                known = f"{slot}.{name}"
                knob = find_knob(f"knobs.{known}={value}", known, declared)
                if not knob.low <= value <= knob.high:
                    raise BadInput(
                        f"knobs.{known}={value}: must be between {knob.low:g} and "
                        f"{knob.high:g} ({knob.meaning})"
                    )
                values[known] = float(value)
    sweep = config.sweep
    knob = find_knob(f"sweep.knob={sweep.knob}", sweep.knob, declared)
    tried = {"zero": 0.0} if sweep.zero else {}
    if sweep.num:
        tried |= {"low": sweep.low, "high": sweep.high}
    for name, value in tried.items():
        if not knob.low <= value <= knob.high:
            raise BadInput(
                f"sweep.{name}={sweep[name]}: must lie in the range of {sweep.knob}, "
                f"{knob.low:g} to {knob.high:g} ({knob.meaning})"
            )
    return values


def find_knob(setting: str, name: str, declared: dict[str, Knob]) -> Knob:
    """Finds a knob by its name with its slot.

    Raises:
      BadInput: no router of the sweep has it; the message lists the existing knobs.
    """
    if name not in declared:
        raise BadInput(f"{setting}: must be one of the knobs {', '.join(declared)}")
    return declared[name]


def read_task(config: ConfigDict) -> Task:
    """The task, with its data read and checked."""
    task = config.task
    _check_paths(task)
    if task.name == "bigram_backcopy":
        return _bigram_backcopy(config)
    if task.name == "bytes":
        return _byte_text(config)
    if task.name not in TASKS:
        raise BadInput(f"task.name={task.name!r}: must be one of {', '.join(TASKS)}")
    if task.name == "csbm":
        graph = csbm(
            nodes=task.nodes,
            within=task.within,
            across=task.across,
            signal=task.signal,
            noise=task.noise,
            seed=task.seed,
        )
    elif task.name == "digits":
        graph = digits(nodes=task.nodes, neighbours=task.neighbours, seed=task.seed)
    else:
        graph = read_graph(task.path, symmetrize=task.symmetrize)
    return node_classification(
        graph, hops=task.hops, train_share=task.train_share, seed=task.seed
    )


def _check_paths(task: ConfigDict) -> None:
    for key in ("text", "path", "data_dir"):
        if not task[key].startswith(DATASET):
            try:
                local_path(task[key])
            except ValueError as error:
                raise BadInput(f"task.{key}={task[key]}: {error}") from None


def _bigram_backcopy(config: ConfigDict) -> Task:
    task = config.task
    if task.text:
        text = read_text(task.text, task.data_dir)
        statistics = text_statistics(text, task.symbols, task.triggers)
    else:
        statistics = dirichlet_statistics(task.symbols, task.concentration, task.seed)
    return from_counts(
        *statistics,
        triggers=task.triggers,
        trigger_mass=task.trigger_mass,
        length=config.train.length,
    )


def _byte_text(config: ConfigDict) -> Task:
    task = config.task
    if not task.text:
        raise BadInput(
            "task.text='': must be a path, pydoc_data.topics or tfds:NAME, "
            "because task.name='bytes' reads a text"
        )
    text = read_bytes(task.text, task.data_dir)
    return byte_text(text, config.train.length, task.data_dir)
