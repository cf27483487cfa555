"""onset bench --what=mixing: one router's forward and backward pass by itself.

Times and measures the training path of a recurrent router, with its projections,
beside the same router through a plain `lax.scan` and, where it is installed,
transformers' CPU path of the same shape; then the training path alone over lengths.
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
from sweeps.bench.timing import time_in_turn
from sweeps.design.parse import read_routers
from sweeps.errors import BadInput

LEAST_SECONDS = 0.05
"""A round of a program lasts at least this long; short ones are repeated."""
BATCH = 1
OURS, SCAN, TRANSFORMERS = "Onset", "plain lax.scan", "transformers, CPU"


@dataclasses.dataclass(frozen=True)
class TimedPass:
    """A forward and backward pass.

    Attributes:
      name: in the table.
      step: computes it once and waits for the result.
      temporary: bytes XLA allocates besides arguments and results; None if unknown.
    """

    name: str
    step: Callable[[], object]
    temporary: int | None = None


def bench_mixing(config: ConfigDict, length: int, lengths: Sequence[int]) -> None:
    """Measures and prints both tables.

    Args:
      config: of a sweep; its router, width and heads are used.
      length: T at which programs are compared.
      lengths: T over which the growth of time and memory is fitted.

    Raises:
      BadInput: a length below 1, fewer than two lengths, or no peer.
    """
    listed = ",".join(map(str, lengths))
    if length < 1:
        raise BadInput(f"--length={length}: at least 1")
    if len(set(lengths)) < 2 or min(lengths) < 1:
        raise BadInput(f"--lengths={listed}: at least two, each at least 1")
    router, settings = read_routers(config)["token"]
    if router not in PLAIN:
        names = (name for name, (known, _) in ROUTERS.items() if known in PLAIN)
        known = ", ".join(names)
        raise BadInput(
            f"router.name={config.router.name!r}: no plain-scan peer; accepted: {known}"
        )
    width = config.model.width
    ours, plain = router(width, settings), PLAIN[router](width, settings)
    programs = [training_step(OURS, ours, length), training_step(SCAN, plain, length)]
    console = Console()
    if importlib.util.find_spec("transformers") is None:
        console.print("transformers is not installed: its row is left out")
    else:
        from sweeps.bench.peers.huggingface import mixer_step

        programs.append(TimedPass(TRANSFORMERS, mixer_step(ours, BATCH, length)))
    title = f"{router.__name__}, forward and backward, B = {BATCH}, D = {width}"
    console.print(_comparison(f"{title}, T = {length}", programs), highlight=False)
    growing = [training_step(str(value), ours, value) for value in lengths]
    console.print(_growth(title, lengths, growing), highlight=False)


def training_step(name: str, router: Router, length: int) -> TimedPass:
    """Value and gradient, by parameters and input, of one compiled training path."""
    x = jax.random.normal(jax.random.key(0), (BATCH, length, router.width))
    short, knobs = min(length, 8), neutral_knobs(router)
    key = jax.random.key(1)
    params = router.init(key, x[:, :short], causal_geometry(short), knobs)

    def loss(params: Any, x: Array, geometry: Geometry) -> Array:
        y: Any = router.apply(params, x, geometry, knobs, method="forward")
        return jnp.mean(jnp.square(y.astype(jnp.float32)))

    gradient = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
    # The path reads nothing of the geometry but its rank.
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
    """Least-squares slope of ``log value`` by ``log length``; 1 is linear."""
    return float(np.polyfit(np.log(lengths), np.log(values), 1)[0])


def _time(programs: Sequence[TimedPass]) -> np.ndarray:
    """Seconds of a pass, ``[ROUNDS, programs]``."""
    return time_in_turn([program.step for program in programs], LEAST_SECONDS)


def _comparison(title: str, programs: Sequence[TimedPass]) -> Table:
    table = Table(title=title)
    columns = ("program", "ms, median", "temp MB", "time / Onset", "memory / Onset")
    for heading in columns:
        table.add_column(heading, justify="right")
    seconds = _time(programs)
    base = programs[0].temporary or 1
    # Of ratios within a round: load that lasts longer than a round cancels.
    ratios = np.median(seconds / seconds[:, :1], axis=0)
    for program, middle, ratio in zip(
        programs, np.median(seconds, axis=0), ratios, strict=True
    ):
        memory = program.temporary
        table.add_row(
            program.name,
            f"{middle * 1e3:.2f}",
            "—" if memory is None else f"{memory / 1e6:.3f}",
            f"{ratio:.2f}",
            "—" if memory is None else f"{memory / base:.2f}",
        )
    return table


def _growth(title: str, lengths: Sequence[int], programs: Sequence[TimedPass]) -> Table:
    table = Table(title=title)
    for heading in ("T", "ms, median", "temp MB"):
        table.add_column(heading, justify="right")
    seconds = np.median(_time(programs), axis=0)
    memory = [float(program.temporary or 0) for program in programs]
    for length, middle, size in zip(lengths, seconds, memory, strict=True):
        table.add_row(str(length), f"{middle * 1e3:.2f}", f"{size / 1e6:.3f}")
    table.add_section()
    exponents = (fitted_exponent(lengths, values) for values in (seconds, memory))
    table.add_row("fitted exponent", *(f"{value:.2f}" for value in exponents))
    return table
