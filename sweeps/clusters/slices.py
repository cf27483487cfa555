"""TPU slices: performance of the chips, and Google's names for slices of them.

Peak FLOP/s, bandwidth, memory and runtimes are taken from Google's pages on each
version, https://cloud.google.com/tpu/docs/v4 (v5e, v5p, v6e) and /runtimes, read in
2026.
"""

import dataclasses
import math

from sweeps.errors import BadInput

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
    """One version of TPU.

    Attributes:
      name: Name in JAX's topologies.
      flops: Peak bfloat16 FLOP/s. It also bounds float32 products, which are one
        bfloat16 pass at JAX's default precision; no separate peak is published.
      bandwidth: Bandwidth of the chip's memory in bytes/s.
      memory: Memory of the chip in bytes; the compiler reserves a part of it.
      dimensions: Number of dimensions of a topology.
      single: Largest number of chips that one host serves.
      accelerator: Prefix of accelerator types.
      units: Units per chip (cores or chips) that an accelerator type counts.
      runtime: Software version of a TPU VM.
      selector: Label ``cloud.google.com/gke-tpu-accelerator`` of a GKE node.
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
SHAPES = {  # by number of dimensions; the shapes that accelerator types denote
    2: ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16"),
    3: (
        *("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8", "8x8x8"),
        *("8x8x16", "8x16x16", "16x16x16"),
    ),
}
PER_HOST = 4  # chips per host, if a slice has several hosts


@dataclasses.dataclass(frozen=True)
class Slice:
    """Chips that are rented together.

    Attributes:
      chip: Version of the chips.
      topology: Number of chips along each axis, such as ``4x4``.
    """

    chip: Chip
    topology: str

    @property
    def name(self) -> str:
        """Name in JAX's topologies."""
        return f"{self.chip.name}:{self.topology}"

    @property
    def chips(self) -> int:
        """Total number of chips."""
        return math.prod(int(size) for size in self.topology.split("x"))

    @property
    def hosts(self) -> int:
        """Number of machines, each with one process."""
        return 1 if self.chips <= self.chip.single else self.chips // PER_HOST

    @property
    def accelerator(self) -> str:
        """Accelerator type of the slice."""
        return f"{self.chip.accelerator}-{self.chips * self.chip.units}"


def parse_topology(text: str) -> Slice:
    """Parses a topology such as ``v5e:4x4``.

    Raises:
      BadInput: The text is not a known topology.
    """
    name, _, shape = text.partition(":")
    if name not in CHIPS:
        forms = ", ".join(f"{c.name}:{SHAPES[c.dimensions][3]}" for c in CHIPS.values())
        raise BadInput(f"{text!r}: must be CHIP:SHAPE, such as {forms}")
    shapes = SHAPES[CHIPS[name].dimensions]
    if shape not in shapes:
        raise BadInput(
            f"{text!r}: the shape of {name} must be one of {', '.join(shapes)}"
        )
    return Slice(CHIPS[name], shape)


def parse_accelerator(text: str) -> Slice:
    """Parses an accelerator type such as ``v5litepod-16``.

    Raises:
      BadInput: The text is not a known accelerator type.
    """
    known = {
        found.accelerator: found
        for chip in CHIPS.values()
        for found in (Slice(chip, shape) for shape in SHAPES[chip.dimensions])
    }
    if text not in known:
        prefix = text.rpartition("-")[0]
        same = [name for name in known if name.rpartition("-")[0] == prefix]
        raise BadInput(f"{text!r}: must be one of {', '.join(same or known)}")
    return known[text]
