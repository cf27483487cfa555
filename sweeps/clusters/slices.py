"""TPU slices: what a chip can do, and the names Google gives to slices of them.

Peak, bandwidth, memory and runtimes are those of Google's pages on each version,
https://cloud.google.com/tpu/docs/v4 (v5e, v5p, v6e) and /runtimes, read in 2026.
"""

import dataclasses
import math

from sweeps.errors import BadInput

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
    """One version of TPU.

    Attributes:
      name: as JAX's topologies call it.
      flops: peak bfloat16 FLOP/s. It bounds float32 products too: at JAX's default
        precision they are one bfloat16 pass; a peak of their own is not published.
      bandwidth: of the chip's memory, bytes/s.
      memory: bytes; the compiler keeps a part of it for itself.
      dimensions: of a topology.
      single: the most chips that one host serves.
      accelerator: prefix of accelerator types.
      units: counted by an accelerator type for each chip, cores or chips.
      runtime: image of a TPU VM.
      selector: ``cloud.google.com/gke-tpu-accelerator`` of a GKE node.
    """

    name: str
    flops: float
    bandwidth: float
    memory: int
    dimensions: int
    single: int
    accelerator: str
    units: int
    runtime: str
    selector: str


CHIPS = {
    "v4": Chip(
        name="v4",
        flops=275e12,
        bandwidth=1200e9,
        memory=32 * GIB,
        dimensions=3,
        single=4,
        accelerator="v4",
        units=2,
        runtime="tpu-ubuntu2204-base",
        selector="tpu-v4-podslice",
    ),
    "v5e": Chip(
        name="v5e",
        flops=197e12,
        bandwidth=819e9,
        memory=16 * GIB,
        dimensions=2,
        single=8,
        accelerator="v5litepod",
        units=1,
        runtime="v2-alpha-tpuv5-lite",
        selector="tpu-v5-lite-podslice",
    ),
    "v5p": Chip(
        name="v5p",
        flops=459e12,
        bandwidth=2765e9,
        memory=95 * GIB,
        dimensions=3,
        single=4,
        accelerator="v5p",
        units=2,
        runtime="v2-alpha-tpuv5",
        selector="tpu-v5p-slice",
    ),
    "v6e": Chip(
        name="v6e",
        flops=918e12,
        bandwidth=1638e9,
        memory=32 * GIB,
        dimensions=2,
        single=8,
        accelerator="v6e",
        units=1,
        runtime="v2-alpha-tpuv6e",
        selector="tpu-v6e-slice",
    ),
}
SHAPES = {  # by dimensions, those an accelerator type stands for
    2: ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16"),
    3: (
        *("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8", "8x8x8"),
        *("8x8x16", "8x16x16", "16x16x16"),
    ),
}
PER_HOST = 4  # chips of each host of a slice with several


@dataclasses.dataclass(frozen=True)
class Slice:
    """Chips that are rented together.

    Attributes:
      chip: of which version.
      topology: chips along each axis, as ``4x4``.
    """

    chip: Chip
    topology: str

    @property
    def name(self) -> str:
        """As JAX's topologies call it."""
        return f"{self.chip.name}:{self.topology}"

    @property
    def chips(self) -> int:
        """In all."""
        return math.prod(int(size) for size in self.topology.split("x"))

    @property
    def hosts(self) -> int:
        """Machines, each with one process."""
        return 1 if self.chips <= self.chip.single else self.chips // PER_HOST

    @property
    def accelerator(self) -> str:
        """The accelerator type."""
        return f"{self.chip.accelerator}-{self.chips * self.chip.units}"


def parse_topology(text: str) -> Slice:
    """A slice from its topology.

    Raises:
      BadInput: of no known form.
    """
    name, _, shape = text.partition(":")
    if name not in CHIPS:
        forms = ", ".join(f"{c.name}:{SHAPES[c.dimensions][3]}" for c in CHIPS.values())
        raise BadInput(f"{text!r}: CHIP:SHAPE, as {forms}")
    shapes = SHAPES[CHIPS[name].dimensions]
    if shape not in shapes:
        raise BadInput(f"{text!r}: {name} comes as {', '.join(shapes)}")
    return Slice(CHIPS[name], shape)


def parse_accelerator(text: str) -> Slice:
    """A slice from its accelerator type.

    Raises:
      BadInput: of no known version or size.
    """
    known = {
        found.accelerator: found
        for chip in CHIPS.values()
        for found in (Slice(chip, shape) for shape in SHAPES[chip.dimensions])
    }
    if text not in known:
        prefix = text.rpartition("-")[0]
        same = [name for name in known if name.rpartition("-")[0] == prefix]
        raise BadInput(f"{text!r}: one of {', '.join(same or known)}")
    return known[text]
