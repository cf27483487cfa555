"""The members of a sweep: knob values x seeds, as arrays."""

import dataclasses
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Axis:
    """The swept knob and its values.

    Attributes:
      knob: by slot, for example ``token.brake``.
      values: increasing; 0 first where it was asked for.
    """

    knob: str
    values: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Grid:
    """Which member has which value and seeds; member m is row m of every array.

    Attributes:
      axis: the swept knob.
      value: index into ``axis.values``, int ``[M]``.
      init_seed: int ``[M]``.
      data_seed: int ``[M]``.
      round: of refinement that trains it, 0 in the first grid, int ``[M]``.
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
        """Index of the (init seed, data seed) pair, which is matched across values."""
        return self.init_seed * (int(self.data_seed.max()) + 1) + self.data_seed


def make_axis(knob: str, low: float, high: float, num: int, zero: bool) -> Axis:
    """Log-spaced values of a knob, with 0 as an extra point.

    Raises:
      ValueError: a range that is inverted, not positive or not finite, or empty.
    """
    if num < 1:
        raise ValueError(f"sweep.num={num}: at least 1 value")
    for name, bound in (("low", low), ("high", high)):
        if not (np.isfinite(bound) and bound > 0):
            raise ValueError(
                f"sweep.{name}={bound}: a finite number above 0 (sweep.zero adds 0)"
            )
    if high < low:
        raise ValueError(f"sweep.low={low} exceeds sweep.high={high}: swap them")
    if num > 1 and high == low:
        raise ValueError(f"sweep.low=sweep.high={low} leaves 1 value: set sweep.num=1")
    # Four digits: values that people can read, type again and find in a table.
    values = [float(f"{value:.4g}") for value in np.geomspace(low, high, num)]
    return Axis(knob, tuple([0.0] * zero + values))


def make_grid(axis: Axis, seeds: int, data_seeds: int, round: int = 0) -> Grid:
    """All combinations, values outermost.

    Raises:
      ValueError: fewer than one seed of either kind.
    """
    for name, count in (("seeds", seeds), ("data_seeds", data_seeds)):
        if count < 1:
            raise ValueError(f"sweep.{name}={count}: at least 1")
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
    """The same members in turns of so many values each, the last one with the rest."""
    turns = []
    for first in range(0, len(grid.axis.values), values):
        chosen = (grid.value >= first) & (grid.value < first + values)
        turns.append(
            Grid(
                Axis(grid.axis.knob, grid.axis.values[first : first + values]),
                grid.value[chosen] - first,
                grid.init_seed[chosen],
                grid.data_seed[chosen],
                grid.round[chosen],
            )
        )
    return turns


def join_grids(grids: Sequence[Grid]) -> Grid:
    """All members of grids over one knob, in this order, on one increasing axis."""
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
