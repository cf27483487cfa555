"""Counts the passes of the loops inside one training step, from its trace.

Compilers count a loop's body once. A recurrent router has loops of its own over the
positions; their passes are known statically and are counted here, in units that need
not be a compiler's, because only the ratio is used.
"""

import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn

from sweeps.capacity import Loops
from sweeps.experiment import Experiment
from sweeps.run import make_members
from train.step import init_state, make_optimizer, train_step


def count_loops(experiment: Experiment) -> Loops:
    """Passes of the loops inside one step of one member, as ratios of its work."""
    every, once = _count(_trace(experiment), True), _count(_trace(experiment), False)
    return Loops(flops=every[0] / once[0], traffic=every[1] / once[1])


def _trace(experiment: Experiment) -> Jaxpr:
    """One training step of one member, traced by shape."""
    optimizer = make_optimizer(experiment.optimizer)
    members = make_members(experiment, np.zeros(1, int))
    member = jax.tree.map(lambda rows: rows[0], members)
    geometry = experiment.task.geometry()

    def step(key: jax.Array) -> Any:
        inputs, targets = experiment.task.sample(key, experiment.batch)
        state = init_state(experiment.model, optimizer, geometry, inputs, member)
        return state, inputs, targets

    state, inputs, targets = jax.eval_shape(step, jax.random.key(0))

    def train(state: Any, inputs: Any, targets: Any) -> Any:
        return train_step(
            experiment.model,
            optimizer,
            experiment.optimizer.warmup,
            geometry,
            member,
            state,
            inputs,
            targets,
        )

    return jax.make_jaxpr(train)(state, inputs, targets).jaxpr


def _count(jaxpr: Jaxpr, passes: bool) -> tuple[float, float]:
    """FLOPs and bytes of a trace, nothing fused."""
    flops, traffic = 0.0, 0.0
    for equation in jaxpr.eqns:
        inner = list(_inner(equation))
        if inner:
            times = equation.params.get("length", 1)
            counts = [_count(one, passes) for one in inner]
            # Of a cond's branches one runs; nothing else has several.
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
    """Jaxprs that an equation runs."""
    for value in equation.params.values():
        for one in value if isinstance(value, list | tuple) else (value,):
            if isinstance(one, ClosedJaxpr):
                yield one.jaxpr
            elif isinstance(one, Jaxpr):
                yield one
