"""From the blocks of a config to routers, knobs and tasks, checked one by one."""

import dataclasses
from typing import Any

import jax.numpy as jnp
from ml_collections import ConfigDict

from routers import find_router
from routers.base import Knob, Router
from train.tasks import Task
from train.tasks.bigram_backcopy import (
    dirichlet_statistics,
    from_counts,
    text_statistics,
)
from train.tasks.byte_text import byte_text
from train.tasks.graph_data import digits, read_graph
from train.tasks.graphs import csbm, node_classification
from train.tasks.text import read_bytes, read_text

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
TASKS = ("bigram_backcopy", "bytes", "csbm", "digits", "graph")
BACKBONE_KEYS = ("block", "distance", "streams")
"""Keys of the ``depth`` block that are the backbone's, not the router's."""

Routers = dict[str, tuple[type[Router], Any]]
"""Slot to router class and its settings."""


def require_positive(config: ConfigDict, *blocks: tuple[str, tuple[str, ...]]) -> None:
    """Raises ValueError naming the first of some settings that is not above 0."""
    for block, names in blocks:
        for name in names:
            value = config[block][name]
            if not value > 0:
                raise ValueError(f"{block}.{name}={value}: greater than 0")


def read_dtype(name: str) -> Any:
    """The dtype of matrix products."""
    if name not in DTYPES:
        raise ValueError(f"model.dtype={name!r}: one of {', '.join(DTYPES)}")
    return DTYPES[name]


def read_routers(config: ConfigDict) -> Routers:
    """The token slot's router and, where there is one, the depth slot's."""
    routers = {"token": _router(config, "router", dict(config.router), "token")}
    if config.depth.name:
        own = {k: v for k, v in config.depth.items() if k not in BACKBONE_KEYS}
        routers["depth"] = _router(config, "depth", own, "depth")
    return routers


def _router(
    config: ConfigDict, block: str, settings: dict[str, Any], slot: str
) -> tuple[type[Router], Any]:
    """A router's class and its settings: its own block and the shared sizes."""
    name = settings.pop("name")
    router, settings_type = find_router(name)
    if router.slot != slot:
        raise ValueError(
            f"{block}.name={name!r}: a router of the {router.slot} slot; "
            f"{block} is the {slot} slot"
        )
    shared = {
        "heads": config.model.heads,
        "init_scale": config.model.init.router,
        "dtype": read_dtype(config.model.dtype),
    }
    fields = {field.name for field in dataclasses.fields(settings_type)}
    for key in settings:
        if key not in fields:
            raise ValueError(f"{block}.{key}: {name} has no such setting")
    settings = {k: v for k, v in shared.items() if k in fields} | settings
    try:
        return router, settings_type(**settings)
    except ValueError as error:
        raise ValueError(f"{block}.{error}") from None


def read_knobs(config: ConfigDict, routers: Routers) -> dict[str, float]:
    """Neutral values of all knobs by slot, overridden by those the config sets."""
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
                    raise ValueError(
                        f"knobs.{known}={value}: between {knob.low:g} and "
                        f"{knob.high:g} ({knob.meaning})"
                    )
                values[known] = float(value)
    sweep = config.sweep
    knob = find_knob(f"sweep.knob={sweep.knob}", sweep.knob, declared)
    if sweep.high > knob.high:
        raise ValueError(
            f"sweep.high={sweep.high} is beyond {sweep.knob}'s range, {knob.low:g} to "
            f"{knob.high:g} ({knob.meaning})"
        )
    return values


def find_knob(setting: str, name: str, declared: dict[str, Knob]) -> Knob:
    """A knob by slot and name.

    Raises:
      ValueError: no router of the sweep has it; the message lists those it has.
    """
    if name not in declared:
        raise ValueError(f"{setting}: no such knob; there are {', '.join(declared)}")
    return declared[name]


def read_task(config: ConfigDict) -> Task:
    """The task, its data read and checked."""
    task = config.task
    if task.name == "bigram_backcopy":
        return _bigram_backcopy(config)
    if task.name == "bytes":
        return _byte_text(config)
    if task.name not in TASKS:
        raise ValueError(f"task.name={task.name!r}: one of {', '.join(TASKS)}")
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
        raise ValueError(
            "task.text='': task.name='bytes' reads a text; a path, "
            "pydoc_data.topics, or tfds:NAME"
        )
    text = read_bytes(task.text, task.data_dir)
    return byte_text(text, config.train.length, task.data_dir)
