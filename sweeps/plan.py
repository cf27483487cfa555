"""onset plan: compiles a sweep for TPU slices, on a machine that has none.

    onset plan --config=configs/attention.py --topology=v5e:4x4[,v5p:2x2x1,...]

Says for each slice how many members a chip's memory holds, and the least time the sweep
takes there. Needs the extra ``tpu``. What is compiled is the sweep's own training chunk
with its members sharded over the slice; the time is a roofline over the compiler's
counts, never checked on hardware.
"""

import dataclasses
import importlib.util
from importlib.metadata import version

import numpy as np
from absl import flags
from jax.sharding import Mesh
from rich.console import Console
from rich.table import Table

from sweeps.capacity import Overflow, Program, Work, largest_fit, work_of_step
from sweeps.experiment import Experiment, build_experiment
from sweeps.placement import AXIS, Placement
from sweeps.shape_compile import (
    compile_chunk,
    compile_drawing,
    describe,
    use_described_tpus,
)
from sweeps.slices import GIB, Slice, parse_topology
from sweeps.step_loops import count_loops


class BadInput(ValueError):
    """A setting that cannot run; the message is one line for the user."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """A sweep on a slice.

    Attributes:
      slice: of TPUs.
      hosts: as the compiler describes the slice.
      fits: a program of the most members; None where none fit.
      members: of this sweep on each chip.
      work: of one member's step; None where this sweep does not fit.
      compile_seconds: of this sweep's program.
      sweep_steps: steps that each chip takes one after another.
    """

    slice: Slice
    hosts: int
    fits: Program | None
    members: int
    work: Work | None
    compile_seconds: float
    sweep_steps: float


def define_flags(values: flags.FlagValues) -> None:
    """Flags of this command beside ``--config``."""
    flags.DEFINE_list(
        "topology", ["v5e:4x4"], "Slices, as v5e:4x4,v5p:2x2x1.", flag_values=values
    )


def command(values: flags.FlagValues) -> int:
    """Runs the command; returns its exit code."""
    if not values.config:
        raise BadInput("--config is required")
    try:
        slices = [parse_topology(name) for name in values.topology]
    except ValueError as error:
        raise BadInput(f"--topology={error}") from None
    if not slices:
        raise BadInput("--topology=: at least one, as v5e:4x4")
    if importlib.util.find_spec("libtpu") is None:
        raise BadInput("needs libtpu: pip install 'router-sweeps[tpu]'")
    use_described_tpus()
    width = values.config.sweep.width
    if width < 1:
        raise BadInput(f"sweep.width={width}: at least 1")
    console = Console()
    try:
        experiment = build_experiment(values.config)
        plans = []
        for one in slices:
            with console.status(f"compiling for {one.name}"):
                plans.append(plan(experiment, width, one))
    except ValueError as error:
        raise BadInput(str(error)) from None
    console.print(_table(plans, experiment), highlight=False)
    console.print(_footnote(width), highlight=False)
    return 0


def plan(experiment: Experiment, width: int, asked: Slice) -> Plan:
    """Compiles until it is known what fits, and estimates the time.

    Raises:
      ValueError: the compiler knows no such slice.
    """
    devices = describe(asked)
    mesh = Mesh(np.asarray(devices), (AXIS,))
    rows = experiment.turn * experiment.units
    width = min(width, -(-rows // len(devices)))
    members = Placement(len(devices), width).padded(rows) // len(devices)
    programs: dict[int, Program] = {}

    def probe(count: int) -> Program | Overflow:
        found = compile_chunk(experiment, mesh, width, count)
        if isinstance(found, Program):
            programs[count] = found
        return found

    fits = largest_fit(probe, members, width, asked.chip.memory)
    work = None
    if fits is not None and members in programs and len(programs) > 1:
        first = programs[members]
        second = programs[min(count for count in programs if count > members)]
        work = work_of_step(
            first,
            second,
            compile_drawing(experiment, mesh),
            count_loops(experiment),
            width,
            experiment.chunk,
        )
    return Plan(
        slice=asked,
        hosts=len({device.process_index for device in devices}),
        fits=fits,
        members=members,
        work=work,
        compile_seconds=programs[members].seconds if members in programs else np.nan,
        sweep_steps=experiment.turns * members * experiment.steps,
    )


def _table(plans: list[Plan], experiment: Experiment) -> Table:
    table = Table(
        title=f"{experiment.most_members} members × {experiment.steps} steps "
        f"({experiment.grid.axis.knob}), one column a slice"
    )
    table.add_column("")
    for one in plans:
        table.add_column(one.slice.name, justify="right")
    columns = [_column(one) for one in plans]
    for name in columns[0]:
        table.add_row(name, *(column[name] for column in columns))
    return table


def _column(found: Plan) -> dict[str, str]:
    """What the table says of a slice, top to bottom."""
    chip, work, fits = found.slice.chip, found.work, found.fits
    seconds = work.seconds(chip) if work else np.nan
    return {
        "chips": f"{found.slice.chips}",
        "hosts": f"{found.hosts}",
        "members that fit on a chip": f"{fits.members:,}" if fits else "none",
        "memory they take": f"{fits.memory / GIB:.2f} GiB" if fits else "–",
        "members of this sweep on a chip": f"{found.members}",
        "compiled in": f"{found.compile_seconds:.1f} s" if work else "–",
        "a member's step": f"{work.flops / 1e6:.1f} MFLOP" if work else "does not fit",
        "memory traffic of it": f"{work.traffic / 1e6:.1f} MB" if work else "–",
        "bound by": work.bound(chip) if work else "–",
        "estimated time of it": f"{seconds * 1e6:.0f} µs" if work else "–",
        "estimated time of the sweep": (
            f"{found.sweep_steps * seconds:.1f} s" if work else "–"
        ),
    }


def _footnote(width: int) -> str:
    return (
        f"An estimate, never checked on hardware. libtpu {version('libtpu')} compiled "
        f"the training chunk, {width} member(s) at once on a chip, at this sweep's "
        "number of members and at the number said to fit; measuring and the diagnosis "
        "at the end are not in it. Times are what the compiler's counts take at the "
        "chip's peak and bandwidth: too short, as that is never reached and each of "
        "the many small operations has a cost of its own; and its bytes also count "
        "what stays on the chip."
    )
