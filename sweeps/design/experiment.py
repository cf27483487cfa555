"""The experiment: a config, checked, as the plain values that everything else uses."""

import dataclasses
import functools
import re

import jax
from ml_collections import ConfigDict

from routers.depth_attention import DISTANCES
from sweeps.design.grid import Grid, make_axis, make_grid
from sweeps.design.parse import (
    Routers,
    read_dtype,
    read_knobs,
    read_routers,
    read_task,
)
from sweeps.design.ranges import check_ranges
from sweeps.errors import BadInput
from sweeps.inference.criterion import Criterion, make_criterion
from sweeps.inference.refine import Refinement, make_refinement
from train.backbone import Backbone, BackboneConfig
from train.step import OptimizerConfig, TrainSpec
from train.tasks import Task

MOST_DEEP = 128
"""Largest number of layers with a depth router, which reads all earlier sublayers: the
time to compile grows with the square."""
TRACKING_MODES = ("auto", "online", "offline", "disabled")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A checked sweep of which nothing has been computed yet.

    Attributes:
      spec: The network and how it is trained; static in compiled programs.
      routers: Router class and its settings, by slot.
      kind: Kind of geometry that the swept knob's slot has.
      task: What is learned.
      grid: The members, without those that refinement adds.
      refinement: Settings of the axis's refinement.
      fixed: Value of every knob that is not swept, named by slot.
      learning_rate: Peak learning rate.
      points: Number of measurements after step 0.
      keep_every: Steps after which parameters are kept, a multiple of the steps between
        measurements; 0 for none but the last.
      sequences: E, number of held-out sequences in one measurement.
      diagnosed: Number of them that get the full signature at the end; 0 for none.
      criterion: Definition of "collapsed".
      seed: Root of all random streams.
    """

    spec: TrainSpec
    routers: Routers
    kind: str
    task: Task
    grid: Grid
    refinement: Refinement
    fixed: dict[str, float]
    learning_rate: float
    points: int
    keep_every: int
    sequences: int
    diagnosed: int
    criterion: Criterion
    seed: int

    @property
    def steps(self) -> int:
        """Number of training steps of every member."""
        return self.points * self.spec.chunk

    @property
    def kept_steps(self) -> range:
        """Steps before the last one at which all members' parameters are kept."""
        return range(0, self.steps if self.keep_every else 0, self.keep_every or 1)

    @property
    def units(self) -> int:
        """Number of members at each value of the axis."""
        return len(self.grid.value) // len(self.grid.axis.values)

    @property
    def wave_values(self) -> int:
        """Values that one wave trains: all, or as many as a refinement round adds."""
        refined = self.refinement.rounds > 0
        return self.refinement.num if refined else len(self.grid.axis.values)

    @property
    def wave_members(self) -> int:
        """Number of members that one wave trains."""
        return self.wave_values * self.units

    @property
    def most_waves(self) -> int:
        """Largest number of waves, with all rounds of refinement."""
        first = -(-len(self.grid.axis.values) // self.wave_values)
        return first + self.refinement.rounds

    @property
    def most_members(self) -> int:
        """Largest number of members, with those of all rounds of refinement."""
        added = self.refinement.rounds * self.refinement.num
        return self.grid.members + added * self.units


def build_experiment(config: ConfigDict) -> Experiment:
    """Checks every setting and builds the experiment.

    Raises:
      BadInput: a setting cannot be used; the message names it, its value and what is
        accepted.
    """
    try:
        return _build(config)
    except ValueError as error:  # routers and tasks know no `BadInput`
        raise BadInput(str(error)) from None


def _build(config: ConfigDict) -> Experiment:
    check_ranges(config)
    _check_tracking(config.wandb)
    if config.depth.distance not in DISTANCES:  # whether or not a router uses it
        raise BadInput(
            f"depth.distance={config.depth.distance!r}: must be one of "
            f"{', '.join(DISTANCES)}"
        )
    routers = read_routers(config)
    knobs = read_knobs(config, routers)
    sweep = config.sweep
    axis = make_axis(sweep.knob, sweep.low, sweep.high, sweep.num, sweep.zero)
    if sweep.refine.rounds and not any(axis.values):
        raise BadInput(
            f"sweep.refine.rounds={sweep.refine.rounds}: must be 0 with sweep.num=0, "
            "because one value has no onset that could be refined"
        )
    task = read_task(config)
    _check_shares(sweep.data, task, config.train.batch)
    slot = sweep.knob.split(".")[0]
    kind = _check_kinds(routers, slot, jax.eval_shape(task.geometry).kind)
    criterion = config.criterion
    train = config.train
    refine = sweep.refine
    units = sweep.seeds * sweep.data_seeds
    points = measurements(train.steps, config.eval.points)
    chunk = train.steps // points
    return Experiment(
        spec=TrainSpec(
            model=_backbone(config, routers, task),
            optimizer=OptimizerConfig(
                betas=tuple(train.betas),
                weight_decay=train.weight_decay,
                clip=train.clip,
                warmup=train.warmup,
            ),
            chunk=chunk,
            batch=train.batch,
            slot=slot,
        ),
        routers=routers,
        kind=kind,
        task=task,
        grid=make_grid(axis, sweep.seeds, sweep.data_seeds),
        refinement=make_refinement(refine.rounds, refine.num, refine.width, units),
        fixed={name: value for name, value in knobs.items() if name != sweep.knob},
        learning_rate=train.learning_rate,
        points=points,
        keep_every=_check_kept(train.get("keep_every", 0), chunk),
        sequences=config.eval.sequences,
        diagnosed=min(config.eval.diagnosed, config.eval.sequences),
        criterion=make_criterion(
            kind, criterion.threshold, criterion.quantile, criterion.margin
        ),
        seed=config.seed,
    )


def _check_tracking(tracking: ConfigDict) -> None:
    """Checks what Weights & Biases would refuse, or ask its server about."""
    if tracking.mode not in TRACKING_MODES:
        raise BadInput(
            f"wandb.mode={tracking.mode!r}: must be one of {', '.join(TRACKING_MODES)}"
        )
    if set(tracking.project) & set(r"/\#?%:") or len(tracking.project) > 128:
        raise BadInput(
            f"wandb.project={tracking.project!r}: must have at most 128 characters, "
            r"without / \ # ? % :"
        )
    if not re.fullmatch(r"[\w.-]*", tracking.entity, flags=re.ASCII):
        raise BadInput(
            f"wandb.entity={tracking.entity!r}: must be the name of a user or a team, "
            "from letters, digits, - and _"
        )


def router_name(config: ConfigDict) -> str:
    """The name of the router whose knob is swept."""
    depth = config.sweep.knob.startswith("depth.")
    return config.depth.name if depth else config.router.name


def measurements(steps: int, at_most: int) -> int:
    """The largest number of equal chunks of the steps, at most the one asked for."""
    return max(n for n in range(1, at_most + 1) if steps % n == 0)


def _check_kept(keep_every: int, chunk: int) -> int:
    """Returns the setting, which sweeps of earlier versions do not have."""
    if keep_every % chunk:
        raise BadInput(
            f"train.keep_every={keep_every}: must be a multiple of {chunk}, the steps "
            "between two measurements (train.steps, eval.points), or 0"
        )
    return keep_every


def _check_shares(data: int, task: Task, batch: int) -> None:
    """Checks that the devices that share a batch take equal parts of it.

    A graph is a batch of one row.
    """
    inputs, _ = jax.eval_shape(lambda: task.sample(jax.random.key(0), batch))
    rows = inputs.shape[0]
    if rows % data:
        raise BadInput(f"sweep.data={data}: must divide the {rows} rows of a batch")


def _check_kinds(routers: Routers, slot: str, of_task: str) -> str:
    """The geometry kind of the swept slot; the token slot's is the task's."""
    token, _ = routers["token"]
    if of_task not in token.kinds:
        raise BadInput(
            f"router {token.__name__} accepts {', '.join(sorted(token.kinds))} "
            f"geometry, but this task has {of_task} geometry"
        )
    if slot == "token":
        return of_task
    (kind,) = routers[slot][0].kinds
    return kind


def _backbone(config: ConfigDict, routers: Routers, task: Task) -> Backbone:
    model = config.model
    if model.width % model.heads:
        raise BadInput(
            f"model.heads={model.heads}: must divide model.width={model.width}"
        )
    if "depth" in routers and model.layers > MOST_DEEP:
        raise BadInput(
            f"model.layers={model.layers}: must be at most {MOST_DEEP} with a router "
            f"of the depth slot, depth.name={config.depth.name!r}"
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
