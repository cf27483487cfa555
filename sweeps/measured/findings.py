"""What the passes measured, in the form of a sweep's results.

A member is one window at one value of the knob: windows take the place of seeds, as
what the values have in common and what the nulls vary over. The untrained network
stands at step 0 and the published one at step 1.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from routers.signature import REDUCE
from routers.signature.nulls import UNTRAINED, VARIANTS
from sweeps.design.grid import Axis, Grid, make_grid
from sweeps.findings.results import Results
from sweeps.inference.criterion import Criterion
from sweeps.inference.diagnosis import Diagnosis
from sweeps.inference.snapshot import ACCURACY, LOSS, Snapshot, summarize
from sweeps.measured.rows import Row

NOT_TAKEN = "not taken"
PUBLISHED = 1
"""Step at which the published network stands; the untrained one stands at 0."""
Found = Mapping[str, Mapping[str, np.ndarray]]
"""Measures ``[W, L, H]`` of every pass by its `Row.name`."""


@dataclasses.dataclass(frozen=True)
class Measurement:
    """A measurement of a published model, as far as its results need it.

    Attributes:
      grid: One member for each value and window.
      kind: Kind of geometry.
      criterion: Definition of "collapsed".
      fixed: Value of every knob that is not swept, named by slot.
      steps: Step at which the published network stands.
      diagnosed: Number of sequences of a member, which is one window.
      most_members: Number of windows with a tracked run each: they are one table.
    """

    grid: Grid
    kind: str
    criterion: Criterion
    fixed: dict[str, float]
    steps: int = PUBLISHED
    diagnosed: int = 1
    most_members: int = 0


def window_grid(knob: str, values: tuple[float, ...], windows: int, texts: int) -> Grid:
    """Members of windows that take turns between texts."""
    return make_grid(Axis(knob, values), windows // texts, texts)


def make_results(
    measurement: Measurement,
    rows: Sequence[Row],
    absent: dict[str, str],
    found: Found,
) -> Results:
    """Arranges what all passes found."""
    values = len(measurement.grid.axis.values)
    nulls = tuple(dict.fromkeys(row.null for row in rows))
    place = {(row.null, row.value): found[row.name] for row in rows}
    names = dict.fromkeys(name for one in found.values() for name in one)

    def table(name: str, wanted: Sequence[str]) -> np.ndarray:
        """``[M, R, 1, ...]`` of some nulls, NaN where a null was not taken."""
        known = next(one[name] for one in found.values() if name in one)
        nothing = np.full(known.shape, np.nan, np.float32)
        blocks = [
            [place.get((null, value), {}).get(name, nothing) for null in wanted]
            for value in range(values)
        ]
        arranged: np.ndarray = np.moveaxis(np.asarray(blocks), 1, 2)
        return arranged.reshape(-1, len(wanted), 1, *known.shape[1:])

    def snapshot(step: int, wanted: Sequence[str]) -> Snapshot:
        measures = {name: table(name, wanted) for name in names if name in REDUCE}
        members = measurement.grid.members
        nothing = np.full((members, len(wanted), 1), np.nan, np.float32)
        for name in (LOSS, ACCURACY):
            measures[name] = table(name, wanted) if name in names else nothing
        return summarize(step, measures, np.full(members, np.nan), np.full(members, -1))

    diagnosis = Diagnosis(
        step=measurement.steps,
        nulls=nulls,
        absent=absent,
        measures={
            name: table(name, nulls) for name in names if name not in (LOSS, ACCURACY)
        },
    )
    # The untrained network's own nulls decide nothing, so they are not taken.
    start = snapshot(0, (UNTRAINED, *[NOT_TAKEN] * (len(VARIANTS) - 1)))
    final = snapshot(measurement.steps, VARIANTS)
    return Results(measurement, (start, final), diagnosis)
