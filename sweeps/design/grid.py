"""The members of a sweep: knob values x seeds, as arrays, and the waves they form."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from sweeps.errors import BadInput


@dataclasses.dataclass(frozen=True)
class Axis:
    """The swept knob and its values.

    Attributes:
      knob: Name of the knob with its slot, for example ``token.brake``.
      values: Values of the knob, increasing; 0 comes first if it was asked for.
    """

    knob: str
    values: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Grid:
    """Which member has which value and seeds; member m is row m of every array.

    Attributes:
      axis: The swept knob and its values.
      value: Index of each member's value in ``axis.values``, int ``[M]``.
      init_seed: Seed of each member's initial parameters, int ``[M]``.
      data_seed: Seed of each member's data stream, int ``[M]``.
      round: Round of refinement that trains the member, 0 for the first grid,
        int ``[M]``.
    """

    axis: Axis
    value: np.ndarray
    init_seed: np.ndarray
    data_seed: np.ndarray
    round: np.ndarray

    @property
    def members(self) -> int:
        """M."""
        return len(self.value)

    @property
    def swept(self) -> np.ndarray:
        """The swept knob's value of each member, float32 ``[M]``."""
        return np.asarray(self.axis.values, np.float32)[self.value]

    @property
    def unit(self) -> np.ndarray:
        """Index of each member's pair of seeds; pairs are matched across values."""
        return self.init_seed * (int(self.data_seed.max()) + 1) + self.data_seed

    def plain(self) -> list[dict[str, Any]]:
        """Every member's value, seeds and round, as JSON values."""
        return [
            {
                self.axis.knob: self.axis.values[self.value[m]],
                "init_seed": int(self.init_seed[m]),
                "data_seed": int(self.data_seed[m]),
                "round": int(self.round[m]),
            }
            for m in range(self.members)
        ]


@dataclasses.dataclass(frozen=True)
class Wave:
    """Members that are trained at the same time.

    Attributes:
      number: Number of the wave; waves are trained in this order, from 0.
      grid: The wave's members.
      earlier: Number of members that earlier waves have trained.
    """

    number: int
    grid: Grid
    earlier: int


def make_axis(
    knob: str, low: float, high: float, num: int, zero: bool, block: str = "sweep."
) -> Axis:
    """Makes log-spaced values of a knob, with 0 as an extra point.

    Args:
      knob: Name of the knob with its slot.
      low: Smallest value above 0.
      high: Largest value.
      num: Number of values from low to high.
      zero: Whether 0 is added.
      block: What stands before the names of these settings, for messages.

    Raises:
      BadInput: the range is inverted, empty, not positive or not finite.
    """
    if num < (0 if zero else 1):
        raise BadInput(
            f"{block}num={num}: must be at least 1, or 0 with {block}zero=True, which "
            "leaves the value 0 alone"
        )
    for name, bound in (("low", low), ("high", high)):
        if not (np.isfinite(bound) and bound > 0):
            raise BadInput(
                f"{block}{name}={bound}: must be a finite number above 0 "
                f"({block}zero adds 0)"
            )
    if high < low:
        raise BadInput(f"{block}low={low}: must not exceed {block}high={high}")
    if num > 1 and high == low:
        raise BadInput(
            f"{block}low={block}high={low}: leaves one value, which needs {block}num=1"
        )
    # Four digits give values that people can read, type again and find in a table.
    values = [float(f"{value:.4g}") for value in np.geomspace(low, high, num)]
    return Axis(knob, tuple([0.0] * zero + values))


def make_grid(axis: Axis, seeds: int, data_seeds: int, round: int = 0) -> Grid:
    """Makes one member for every combination of value and seeds, values outermost.

    Raises:
      BadInput: there is not at least one seed of either kind.
    """
    for name, count in (("seeds", seeds), ("data_seeds", data_seeds)):
        if count < 1:
            raise BadInput(f"sweep.{name}={count}: must be at least 1")
    value, init, data = np.meshgrid(
        np.arange(len(axis.values)),
        np.arange(seeds),
        np.arange(data_seeds),
        indexing="ij",
    )
    return Grid(
        axis, value.ravel(), init.ravel(), data.ravel(), np.full(value.size, round)
    )


def split_grid(grid: Grid, values: int) -> list[Grid]:
    """Splits a grid into grids of so many values each; the last one has the rest."""
    parts = []
    for first in range(0, len(grid.axis.values), values):
        chosen = (grid.value >= first) & (grid.value < first + values)
        parts.append(
            Grid(
                Axis(grid.axis.knob, grid.axis.values[first : first + values]),
                grid.value[chosen] - first,
                grid.init_seed[chosen],
                grid.data_seed[chosen],
                grid.round[chosen],
            )
        )
    return parts


def join_grids(grids: Sequence[Grid]) -> Grid:
    """Joins grids over one knob; members keep their order, values are sorted."""
    values = sorted({value for grid in grids for value in grid.axis.values})
    places = [np.searchsorted(values, grid.axis.values)[grid.value] for grid in grids]
    return Grid(
        Axis(grids[0].axis.knob, tuple(values)),
        np.concatenate(places),
        *(
            np.concatenate([getattr(grid, name) for grid in grids])
            for name in ("init_seed", "data_seed", "round")
        ),
    )
