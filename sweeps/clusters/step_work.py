"""The work of one training step, and the number of passes of the loops inside it.

Compilers count the body of a loop once. A chunk contains loops over members and steps,
so its count mixes a step with work that is done once per member or once per chunk. For
this reason, a step is compiled by itself. A recurrent router has further loops over the
positions. The number of their passes is known statically and is counted here, in units
that may differ from the compiler's, because only a ratio is used.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn

from sweeps.clusters.capacity import Loops
from sweeps.design.experiment import Experiment
from sweeps.engine.inputs import make_members
from train.step import Member, TrainState, init_state, train_step


def make_step(experiment: Experiment, width: int) -> tuple[Callable[..., Any], Any]:
    """Makes a training step of members computed at once, and its argument shapes.

    Args:
      experiment: Experiment of the sweep.
      width: Number of members computed at once.

    Returns:
      ``step(states, members, inputs, targets, task)`` and the shapes of its arguments.
    """
    spec = experiment.spec

    def start() -> Any:
        members = make_members(experiment, experiment.grid, np.zeros(width, int))
        inputs, targets = experiment.task.sample(jax.random.key(0), spec.batch)
        geometry = experiment.task.geometry()

        def init(member: Member) -> TrainState:
            return init_state(spec, geometry, inputs, member)

        return jax.vmap(init)(members), members, inputs, targets, experiment.task

    def step(states: Any, members: Any, inputs: Any, targets: Any, task: Any) -> Any:
        def of_member(pair: tuple[TrainState, Member]) -> Any:
            state, member = pair
            return train_step(spec, task.geometry(), member, state, inputs, targets)

        # As in the chunk: one member at a time is not the same as a batch of one.
        return jax.lax.map(
            of_member, (states, members), batch_size=width if width > 1 else None
        )

    return step, jax.eval_shape(start)


def count_loops(experiment: Experiment) -> Loops:
    """Ratio of a step's work with all passes of its loops to one pass of each."""
    step, shapes = make_step(experiment, 1)
    jaxpr = jax.make_jaxpr(step)(*shapes).jaxpr
    every, once = _count(jaxpr, passes=True), _count(jaxpr, passes=False)
    return Loops(flops=every[0] / once[0], traffic=every[1] / once[1])


def _count(jaxpr: Jaxpr, passes: bool) -> tuple[float, float]:
    """FLOPs and bytes of a traced program without fusion."""
    flops, traffic = 0.0, 0.0
    for equation in jaxpr.eqns:
        inner = list(_inner(equation))
        if inner:
            times = equation.params.get("length", 1)
            counts = [_count(one, passes) for one in inner]
            # Only one branch of a cond runs; no other equation has alternatives.
            own = max(counts) if equation.primitive.name == "cond" else _sum(counts)
            flops += own[0] * (times if passes else 1)
            traffic += own[1] * (times if passes else 1)
            continue
        inputs: list[Any] = [v.aval for v in equation.invars]
        outputs: list[Any] = [v.aval for v in equation.outvars]
        factor = 1
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            factor = 2 * math.prod(inputs[0].shape[axis] for axis in contracted)
        flops += factor * sum(math.prod(one.shape) for one in outputs)
        traffic += sum(_bytes(one) for one in (*inputs, *outputs))
    return flops, traffic


def _sum(counts: list[tuple[float, float]]) -> tuple[float, float]:
    return sum(c[0] for c in counts), sum(c[1] for c in counts)


def _bytes(aval: Any) -> float:
    size = math.prod(aval.shape)
    known = jnp.issubdtype(aval.dtype, jnp.number) or aval.dtype == jnp.bool_
    return size * aval.dtype.itemsize if known else 0.0


def _inner(equation: JaxprEqn) -> Iterator[Jaxpr]:
    """Jaxprs that an equation contains."""
    for value in equation.params.values():
        for one in value if isinstance(value, list | tuple) else (value,):
            if isinstance(one, ClosedJaxpr):
                yield one.jaxpr
            elif isinstance(one, Jaxpr):
                yield one
