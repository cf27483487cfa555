"""onset bench --what=mixing: the forward and backward pass of one router alone.

Measures time and memory of the training path of a recurrent router, with its
projections, and compares it with the same router through a plain `lax.scan` and, if it
is installed, with transformers' CPU path of the same shape. Then measures the training
path alone over several lengths.
"""

import dataclasses
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table

from routers import ROUTERS
from routers.base import Array, Geometry, Router, causal_geometry, neutral_knobs
from sweeps.bench.peers.lax_scan import PLAIN
from sweeps.bench.timing import time_alternately
from sweeps.design.parse import read_routers
from sweeps.errors import BadInput

LEAST_SECONDS = 0.05
"""Minimum time of the timed calls of one pass in each round; short ones repeat."""
BATCH = 1
OURS, SCAN, TRANSFORMERS = "Onset", "plain lax.scan", "transformers, CPU"


@dataclasses.dataclass(frozen=True)
class TimedPass:
    """A forward and backward pass that is timed.

    Attributes:
      name: Name of its row in the table.
      step: Function that computes the pass once and waits for the result.
      temporary: Bytes that XLA allocates besides arguments and results; None if
        unknown.
    """

    name: str
    step: Callable[[], object]
    temporary: int | None = None


def bench_mixing(config: ConfigDict, length: int, lengths: Sequence[int]) -> None:
    """Measures and prints both tables.

    Args:
      config: Config of a sweep; its router, width and heads are used.
      length: Length T at which the passes are compared.
      lengths: Lengths T over which the growth of time and memory is fitted.

    Raises:
      BadInput: A length is below 1, there are fewer than two lengths, or the router
        has no peer.
    """
    listed = ",".join(map(str, lengths))
    if length < 1:
        raise BadInput(f"--length={length}: must be at least 1")
    if len(set(lengths)) < 2 or min(lengths) < 1:
        raise BadInput(
            f"--lengths={listed}: must be at least two lengths, each at least 1"
        )
    router, settings = read_routers(config)["token"]
    if router not in PLAIN:
        names = (name for name, (known, _) in ROUTERS.items() if known in PLAIN)
        known = ", ".join(names)
        raise BadInput(
            f"router.name={config.router.name!r}: has no plain-scan peer; must be one "
            f"of {known}"
        )
    width = config.model.width
    ours, plain = router(width, settings), PLAIN[router](width, settings)
    passes = [training_step(OURS, ours, length), training_step(SCAN, plain, length)]
    console = Console()
    if importlib.util.find_spec("transformers") is None:
        console.print("transformers is not installed, so its row is missing")
    else:
        from sweeps.bench.peers.huggingface import mixer_step

        passes.append(TimedPass(TRANSFORMERS, mixer_step(ours, BATCH, length)))
    title = f"{router.__name__}, forward and backward, B = {BATCH}, D = {width}"
    console.print(_comparison(f"{title}, T = {length}", passes), highlight=False)
    growing = [training_step(str(value), ours, value) for value in lengths]
    console.print(_growth(title, lengths, growing), highlight=False)


def training_step(name: str, router: Router, length: int) -> TimedPass:
    """Compiles the value and gradient, by parameters and input, of a training path."""
    x = jax.random.normal(jax.random.key(0), (BATCH, length, router.width))
    short, knobs = min(length, 8), neutral_knobs(router)
    key = jax.random.key(1)
    params = router.init(key, x[:, :short], causal_geometry(short), knobs)

    def loss(params: Any, x: Array, geometry: Geometry) -> Array:
        y: Any = router.apply(params, x, geometry, knobs, method="forward")
        return jnp.mean(jnp.square(y.astype(jnp.float32)))

    gradient = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
    # The path reads nothing of the geometry except its rank.
    shape = jax.eval_shape(lambda: causal_geometry(length))
    compiled = gradient.lower(params, x, shape).compile()
    memory: Any = compiled.memory_analysis()
    geometry = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shape)
    return TimedPass(
        name,
        lambda: jax.block_until_ready(compiled(params, x, geometry)),
        memory.temp_size_in_bytes,
    )


def fitted_exponent(lengths: Sequence[int], values: Sequence[float]) -> float:
    """Least-squares slope of ``log value`` against ``log length``; 1 means linear."""
    return float(np.polyfit(np.log(lengths), np.log(values), 1)[0])


def _time(passes: Sequence[TimedPass]) -> np.ndarray:
    """Seconds per pass, ``[TIMING_ROUNDS, passes]``."""
    return time_alternately([one.step for one in passes], LEAST_SECONDS)


def _comparison(title: str, passes: Sequence[TimedPass]) -> Table:
    table = Table(title=title)
    columns = ("program", "ms, median", "temp MB", "time / Onset", "memory / Onset")
    for heading in columns:
        table.add_column(heading, justify="right")
    seconds = _time(passes)
    base = passes[0].temporary or 1
    # Ratios within a round: other load that lasts longer than a round cancels.
    ratios = np.median(seconds / seconds[:, :1], axis=0)
    for one, middle, ratio in zip(
        passes, np.median(seconds, axis=0), ratios, strict=True
    ):
        memory = one.temporary
        table.add_row(
            one.name,
            f"{middle * 1e3:.2f}",
            "—" if memory is None else f"{memory / 1e6:.3f}",
            f"{ratio:.2f}",
            "—" if memory is None else f"{memory / base:.2f}",
        )
    return table


def _growth(title: str, lengths: Sequence[int], passes: Sequence[TimedPass]) -> Table:
    table = Table(title=title)
    for heading in ("T", "ms, median", "temp MB"):
        table.add_column(heading, justify="right")
    seconds = np.median(_time(passes), axis=0)
    memory = [float(one.temporary or 0) for one in passes]
    for length, middle, size in zip(lengths, seconds, memory, strict=True):
        table.add_row(str(length), f"{middle * 1e3:.2f}", f"{size / 1e6:.3f}")
    table.add_section()
    exponents = (fitted_exponent(lengths, values) for values in (seconds, memory))
    table.add_row("fitted exponent", *(f"{value:.2f}" for value in exponents))
    return table
