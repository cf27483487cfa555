"""Plans a sweep on a TPU slice that is not present: how many members fit, how fast.

The sweep's own training chunk is compiled, with its members sharded over the slice. The
time is a roofline estimate from the compiler's counts, never checked on hardware.
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
    describe_slice,
)
from sweeps.clusters.slices import Chip, Slice
from sweeps.clusters.step_work import count_loops
from sweeps.design.experiment import Experiment
from sweeps.runtime.placement import Placement, mesh_of


@dataclasses.dataclass(frozen=True)
class Plan:
    """The plan of a sweep on a slice.

    Attributes:
      slice: Slice of TPUs.
      hosts: Number of hosts of the slice, according to the compiler.
      share: Number of devices per chip; above 1 if the compiler splits a chip into its
        cores.
      fits: Program with the largest number of members on a device; None if none fit.
      program: Program of this sweep; None if it does not fit.
      work: Work of one member's step.
      members: Number of members of this sweep on each device.
      member_steps: Number of member-steps of the whole sweep on each device, all waves
        together.
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
        """The part of a chip that is one device."""
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
    """Searches for what fits by compiling, and estimates the time.

    Args:
      experiment: Experiment of the sweep.
      width: Largest number of members computed at once on each device.
      asked: Slice of TPUs.

    Raises:
      BadInput: The compiler does not know the slice.
    """
    devices = describe_slice(asked)
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
