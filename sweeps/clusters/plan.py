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

from absl import flags
from rich.console import Console
from rich.table import Table

from sweeps.clusters.capacity import Overflow, Program, Work, largest_fit, work_of_step
from sweeps.clusters.compile import (
    analyze_chunk,
    analyze_step,
    describe,
    use_described_tpus,
)
from sweeps.clusters.slices import GIB, Chip, Slice, parse_topology
from sweeps.clusters.step_work import count_loops
from sweeps.design.experiment import Experiment, build_experiment
from sweeps.runtime.placement import Placement, mesh_of


class BadInput(ValueError):
    """A setting that cannot run; the message is one line for the user."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """A sweep on a slice.

    Attributes:
      slice: of TPUs.
      hosts: as the compiler describes the slice.
      share: devices of the compiler that make a chip, its cores where it splits it.
      fits: a program of the most members on a device; None where none fit.
      program: of this sweep; None where it does not fit.
      work: of one member's step.
      members: of this sweep on a device.
      member_steps: that a device takes one after another.
    """

    slice: Slice
    hosts: int
    share: int
    fits: Program | None
    program: Program | None
    work: Work
    members: int
    member_steps: int

    @property
    def device(self) -> Chip:
        """The part of a chip that a device is."""
        return part(self.slice.chip, self.share)


def part(chip: Chip, share: int) -> Chip:
    """One of the equal parts of a chip."""
    return dataclasses.replace(
        chip,
        flops=chip.flops / share,
        bandwidth=chip.bandwidth / share,
        memory=chip.memory // share,
    )


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
    # 0 is chosen by timing, which needs the chip.
    width = values.config.sweep.width or 1
    if width < 1:
        raise BadInput(f"sweep.width={width}: at least 1, or 0 for 1 here")
    if values.config.sweep.data != 1:
        raise BadInput(f"sweep.data={values.config.sweep.data}: plans are made for 1")
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
    share = len(devices) // asked.chips
    mesh = mesh_of(devices)
    rows = experiment.turn * experiment.units
    width = min(width, -(-rows // len(devices)))
    members = Placement(len(devices), width).padded(rows) // len(devices)
    own: Program | Overflow = Overflow()

    def probe(count: int) -> Program | Overflow:
        nonlocal own
        found = analyze_chunk(experiment, mesh, width, count)
        if count == members:
            own = found
        return found

    fits = largest_fit(probe, members, width, part(asked.chip, share).memory)
    return Plan(
        slice=asked,
        hosts=len({device.process_index for device in devices}),
        share=share,
        fits=fits,
        program=own if isinstance(own, Program) else None,
        work=work_of_step(
            analyze_step(experiment, mesh, width), count_loops(experiment)
        ),
        members=members,
        member_steps=experiment.turns * members * experiment.steps,
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
    fits, own, work, share = found.fits, found.program, found.work, found.share
    seconds = work.seconds(found.device)
    most = f"{fits.members * share:,}" if fits else "none"
    memory = f"{fits.memory * share / GIB:.2f} GiB" if fits else "–"
    in_line = found.member_steps * seconds
    return {
        "chips": f"{found.slice.chips}",
        "hosts": f"{found.hosts}",
        "members that fit on a chip": most,
        "memory they take": memory,
        "members of this sweep on it": f"{found.members * share}",
        "compiled in": f"{own.seconds:.1f} s" if own else "does not fit",
        "a member's step": f"{work.flops / 1e6:.1f} MFLOP",
        "bytes it reads and writes": f"{work.traffic / 1e6:.1f} MB",
        "bound by": work.bound(found.device),
        "estimated time of it": f"{seconds * 1e6:.0f} µs",
        "estimated time of the sweep": _duration(in_line) if own else "–",
    }


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:,.0f} min"


def _footnote(width: int) -> str:
    return (
        f"An estimate, never checked on hardware. libtpu {version('libtpu')} compiled "
        f"the training chunk, {width} member(s) at once, at this sweep's number of "
        "members and at the number said to fit; measuring and the diagnosis at the end "
        "are not in it. Times are what the compiler's counts for one step take at the "
        "chip's peak and bandwidth: too short, as neither is reached and each of the "
        "many small operations has a cost of its own; too long, as the bytes include "
        "what stays on the chip."
    )
