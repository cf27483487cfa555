"""A sweep on a TPU slice that is not here: how many members fit, and how fast.

What is compiled is the sweep's own training chunk with its members sharded over the
slice; the time is a roofline over the compiler's counts, never checked on hardware.
"""

import dataclasses

from sweeps.clusters.capacity import (
    Footprint,
    Overflow,
    Work,
    largest_fit,
    work_of_step,
)
from sweeps.clusters.compile import (
    analyze_chunk,
    analyze_step,
    describe,
)
from sweeps.clusters.slices import Chip, Slice
from sweeps.clusters.step_work import count_loops
from sweeps.design.experiment import Experiment
from sweeps.runtime.placement import Placement, mesh_of


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
    fits: Footprint | None
    program: Footprint | None
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


def plan(experiment: Experiment, width: int, asked: Slice) -> Plan:
    """Compiles until it is known what fits, and estimates the time.

    Raises:
      BadInput: the compiler knows no such slice.
    """
    devices = describe(asked)
    share = len(devices) // asked.chips
    mesh = mesh_of(devices)
    rows = experiment.wave_members
    width = min(width, -(-rows // len(devices)))
    members = Placement(len(devices), width).padded(rows) // len(devices)
    own: Footprint | Overflow = Overflow()

    def probe(count: int) -> Footprint | Overflow:
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
        program=own if isinstance(own, Footprint) else None,
        work=work_of_step(
            analyze_step(experiment, mesh, width), count_loops(experiment)
        ),
        members=members,
        member_steps=experiment.most_waves * members * experiment.steps,
    )
