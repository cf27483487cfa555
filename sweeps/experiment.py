"""From a config to the plain values everything below the commands works with."""

import dataclasses
import functools
from typing import Any

import jax.numpy as jnp
from ml_collections import ConfigDict

from routers import ROUTERS
from routers.base import Router
from sweeps.criterion import Criterion
from sweeps.grid import Grid, make_axis, make_grid
from train.backbone import Backbone, BackboneConfig
from train.step import OptimizerConfig
from train.tasks import Task
from train.tasks.bigram_backcopy import (
    dirichlet_statistics,
    from_counts,
    text_statistics,
)
from train.tasks.text import read_text

TRACKING_MODES = ("auto", "online", "offline", "disabled")
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A checked sweep, nothing of it computed yet.

    Attributes:
      model: the network around the router.
      router: the router's class, for its knobs.
      router_config: its settings.
      task: what is learned.
      grid: members.
      fixed: value of every knob that is not swept, by slot.
      optimizer: AdamW's settings.
      learning_rate: peak.
      steps: of training in all.
      points: measurements after step 0; divides the steps.
      batch: B.
      sequences: E, held-out sequences of a measurement.
      criterion: of "collapsed".
      seed: root of the random streams.
    """

    model: Backbone
    router: type[Router]
    router_config: Any
    task: Task
    grid: Grid
    fixed: dict[str, float]
    optimizer: OptimizerConfig
    learning_rate: float
    steps: int
    points: int
    batch: int
    sequences: int
    criterion: Criterion
    seed: int

    @property
    def chunk(self) -> int:
        """Steps between two measurements."""
        return self.steps // self.points


def build_experiment(config: ConfigDict) -> Experiment:
    """Checks every setting and builds the experiment.

    Raises:
      ValueError: one line that names the setting, its value and what is accepted.
    """
    _require_positive(
        config,
        ("model", ("layers", "width", "heads")),
        ("train", ("steps", "batch", "learning_rate")),
        ("eval", ("points", "sequences")),
    )
    if config.wandb.mode not in TRACKING_MODES:
        raise ValueError(
            f"wandb.mode={config.wandb.mode!r}: one of {', '.join(TRACKING_MODES)}"
        )
    router, router_config = _router(config)
    fixed = _fixed_knobs(config, router)
    sweep = config.sweep
    axis = make_axis(sweep.knob, sweep.low, sweep.high, sweep.num, sweep.zero)
    _check_axis(sweep.knob, sweep.high, fixed, router)
    grid = make_grid(axis, sweep.seeds, sweep.data_seeds)
    fixed.pop(sweep.knob)
    task = _task(config)
    model = config.model
    backbone = BackboneConfig(
        vocabulary=task.vocabulary,
        length=task.length,
        width=model.width,
        layers=model.layers,
        mlp_ratio=model.mlp_ratio,
        positions=model.positions,
        embedding_scale=model.init.embedding,
        mlp_scale=model.init.mlp,
        output_scale=model.init.output,
        dtype=_dtype(model.dtype),
    )
    if model.width % model.heads:
        raise ValueError(
            f"model.heads={model.heads} does not divide model.width={model.width}"
        )
    train = config.train
    return Experiment(
        model=Backbone(backbone, functools.partial(router, config=router_config)),
        router=router,
        router_config=router_config,
        task=task,
        grid=grid,
        fixed=fixed,
        optimizer=OptimizerConfig(
            betas=tuple(train.betas),
            weight_decay=train.weight_decay,
            clip=train.clip,
            warmup=train.warmup,
        ),
        learning_rate=train.learning_rate,
        steps=train.steps,
        points=measurements(train.steps, config.eval.points),
        batch=train.batch,
        sequences=config.eval.sequences,
        criterion=Criterion(**config.criterion),
        seed=config.seed,
    )


def measurements(steps: int, at_most: int) -> int:
    """The largest number of equal chunks of the steps, at most the one asked for."""
    return max(n for n in range(1, at_most + 1) if steps % n == 0)


def _require_positive(config: ConfigDict, *blocks: tuple[str, tuple[str, ...]]) -> None:
    for block, names in blocks:
        for name in names:
            value = config[block][name]
            if not value > 0:
                raise ValueError(f"{block}.{name}={value}: greater than 0")


def _dtype(name: str) -> Any:
    if name not in DTYPES:
        raise ValueError(f"model.dtype={name!r}: one of {', '.join(DTYPES)}")
    return DTYPES[name]


def _router(config: ConfigDict) -> tuple[type[Router], Any]:
    """The router's class and its settings: its own block and the shared sizes."""
    settings = dict(config.router)
    name = settings.pop("name")
    if name not in ROUTERS:
        raise ValueError(f"router.name={name!r}: one of {', '.join(sorted(ROUTERS))}")
    router, settings_type = ROUTERS[name]
    shared = {
        "heads": config.model.heads,
        "init_scale": config.model.init.router,
        "dtype": _dtype(config.model.dtype),
    }
    fields = {field.name for field in dataclasses.fields(settings_type)}
    for key in settings:
        if key not in fields:
            raise ValueError(f"router.{key}: {name} has no such setting")
    settings |= {key: value for key, value in shared.items() if key in fields}
    try:
        return router, settings_type(**settings)
    except ValueError as error:
        raise ValueError(f"router.{error}") from None


def _fixed_knobs(config: ConfigDict, router: type[Router]) -> dict[str, float]:
    """Neutral values of all knobs, overridden by those the config sets."""
    slot = router.slot
    fixed = {f"{slot}.{name}": knob.neutral for name, knob in router.knobs.items()}
    for block, knobs in config.knobs.items():
        for name, value in knobs.items():
            if value is None:
                continue
            known = f"{block}.{name}"
            if known not in fixed:
                raise ValueError(_no_such_knob(f"knobs.{known}={value}", fixed))
            knob = router.knobs[name]
            if not knob.low <= value <= knob.high:
                raise ValueError(
                    f"knobs.{known}={value}: between {knob.low:g} and {knob.high:g} "
                    f"({knob.meaning})"
                )
            fixed[known] = float(value)
    return fixed


def _check_axis(
    name: str, high: float, fixed: dict[str, float], router: type[Router]
) -> None:
    if name not in fixed:
        raise ValueError(_no_such_knob(f"sweep.knob={name}", fixed))
    knob = router.knobs[name.split(".", 1)[1]]
    if high > knob.high:
        raise ValueError(
            f"sweep.high={high} is beyond {name}'s range, {knob.low:g} to "
            f"{knob.high:g} ({knob.meaning})"
        )


def _no_such_knob(setting: str, fixed: dict[str, float]) -> str:
    return f"{setting}: no such knob; the router has {', '.join(fixed)}"


def _task(config: ConfigDict) -> Task:
    task = config.task
    if task.name != "bigram_backcopy":
        raise ValueError(f"task.name={task.name!r}: bigram_backcopy")
    if task.text:
        text = read_text(task.text)
        statistics = text_statistics(text, task.symbols, task.triggers)
    else:
        statistics = dirichlet_statistics(task.symbols, task.concentration, task.seed)
    return from_counts(
        *statistics,
        triggers=task.triggers,
        trigger_mass=task.trigger_mass,
        length=config.train.length,
    )
