"""From a config to the plain values everything below the commands works with."""

import dataclasses
import functools

import jax
from ml_collections import ConfigDict

from sweeps.design.grid import Grid, make_axis, make_grid
from sweeps.design.parse import (
    Routers,
    read_dtype,
    read_knobs,
    read_routers,
    read_task,
    require_positive,
)
from sweeps.inference.criterion import Criterion, make_criterion
from sweeps.inference.refine import Refinement, make_refinement
from train.backbone import Backbone, BackboneConfig
from train.step import OptimizerConfig
from train.tasks import Task

TRACKING_MODES = ("auto", "online", "offline", "disabled")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A checked sweep, nothing of it computed yet.

    Attributes:
      model: the network around the routers.
      routers: slot to router class and settings.
      slot: of the swept knob; its routers are measured.
      kind: geometry kind of that slot.
      task: what is learned.
      grid: members, without those that refinement adds.
      refinement: of the axis, round by round.
      fixed: value of every knob that is not swept, by slot.
      optimizer: AdamW's settings.
      learning_rate: peak.
      steps: of training in all.
      points: measurements after step 0; divides the steps.
      batch: B.
      sequences: E, held-out sequences of a measurement.
      diagnosed: how many of them get the full signature at the end, 0 for none.
      criterion: of "collapsed".
      seed: root of the random streams.
    """

    model: Backbone
    routers: Routers
    slot: str
    kind: str
    task: Task
    grid: Grid
    refinement: Refinement
    fixed: dict[str, float]
    optimizer: OptimizerConfig
    learning_rate: float
    steps: int
    points: int
    batch: int
    sequences: int
    diagnosed: int
    criterion: Criterion
    seed: int

    @property
    def chunk(self) -> int:
        """Steps between two measurements."""
        return self.steps // self.points

    @property
    def units(self) -> int:
        """Members at each value."""
        return len(self.grid.value) // len(self.grid.axis.values)

    @property
    def turn(self) -> int:
        """Values trained at once: all, or as many as a round of refinement adds."""
        refined = self.refinement.rounds > 0
        return self.refinement.num if refined else len(self.grid.axis.values)

    @property
    def turns(self) -> int:
        """Turns in which the members are trained, at most."""
        return -(-len(self.grid.axis.values) // self.turn) + self.refinement.rounds

    @property
    def most_members(self) -> int:
        """Members with those of all rounds of refinement."""
        added = self.refinement.rounds * self.refinement.num
        return self.grid.members + added * self.units


def build_experiment(config: ConfigDict) -> Experiment:
    """Checks every setting and builds the experiment.

    Raises:
      ValueError: one line that names the setting, its value and what is accepted.
    """
    require_positive(
        config,
        ("model", ("layers", "width", "heads")),
        ("train", ("steps", "batch", "learning_rate")),
        ("eval", ("points", "sequences")),
        ("depth", ("block", "streams")),
        ("sweep", ("data",)),
    )
    if config.wandb.mode not in TRACKING_MODES:
        raise ValueError(
            f"wandb.mode={config.wandb.mode!r}: one of {', '.join(TRACKING_MODES)}"
        )
    if config.eval.diagnosed < 0:
        raise ValueError(
            f"eval.diagnosed={config.eval.diagnosed}: sequences, 0 for no diagnosis"
        )
    routers = read_routers(config)
    knobs = read_knobs(config, routers)
    sweep = config.sweep
    axis = make_axis(sweep.knob, sweep.low, sweep.high, sweep.num, sweep.zero)
    task = read_task(config)
    _check_shares(sweep.data, task, config.train.batch)
    slot = sweep.knob.split(".")[0]
    kind = _check_kinds(routers, slot, jax.eval_shape(task.geometry).kind)
    criterion = config.criterion
    train = config.train
    refine = sweep.refine
    units = sweep.seeds * sweep.data_seeds
    return Experiment(
        model=_backbone(config, routers, task),
        routers=routers,
        slot=slot,
        kind=kind,
        task=task,
        grid=make_grid(axis, sweep.seeds, sweep.data_seeds),
        refinement=make_refinement(refine.rounds, refine.num, refine.width, units),
        fixed={name: value for name, value in knobs.items() if name != sweep.knob},
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
        diagnosed=min(config.eval.diagnosed, config.eval.sequences),
        criterion=make_criterion(
            kind, criterion.threshold, criterion.quantile, criterion.margin
        ),
        seed=config.seed,
    )


def router_name(config: ConfigDict) -> str:
    """Name of the router whose knob is swept."""
    depth = config.sweep.knob.startswith("depth.")
    return config.depth.name if depth else config.router.name


def measurements(steps: int, at_most: int) -> int:
    """The largest number of equal chunks of the steps, at most the one asked for."""
    return max(n for n in range(1, at_most + 1) if steps % n == 0)


def _check_shares(data: int, task: Task, batch: int) -> None:
    """Devices that share a batch take equal parts; a graph is one row."""
    inputs, _ = jax.eval_shape(lambda: task.sample(jax.random.key(0), batch))
    rows = inputs.shape[0]
    if rows % data:
        raise ValueError(f"sweep.data={data}: must divide the {rows} rows of a batch")


def _check_kinds(routers: Routers, slot: str, of_task: str) -> str:
    """The geometry kind of the swept slot; the token slot's is the task's."""
    token, _ = routers["token"]
    if of_task not in token.kinds:
        raise ValueError(
            f"router {token.__name__} accepts {', '.join(sorted(token.kinds))} "
            f"geometry; this task's is {of_task}"
        )
    if slot == "token":
        return of_task
    (kind,) = routers[slot][0].kinds
    return kind


def _backbone(config: ConfigDict, routers: Routers, task: Task) -> Backbone:
    model = config.model
    if model.width % model.heads:
        raise ValueError(
            f"model.heads={model.heads} does not divide model.width={model.width}"
        )
    sizes = BackboneConfig(
        outputs=task.outputs,
        length=task.length,
        width=model.width,
        layers=model.layers,
        mlp_ratio=model.mlp_ratio,
        positions=model.positions,
        embedding_scale=model.init.embedding,
        mlp_scale=model.init.mlp,
        output_scale=model.init.output,
        dtype=read_dtype(model.dtype),
        block=config.depth.block,
        distance=config.depth.distance,
        streams=config.depth.streams,
    )
    make = {
        slot: functools.partial(router, config=settings)
        for slot, (router, settings) in routers.items()
    }
    return Backbone(sizes, make["token"], make.get("depth"))
