"""What "collapsed" means, and the judge that decides it for every member.

A member is *collapsed* when its concentration exceeds a threshold **and**, by a margin,
a high quantile of each of three criterion nulls: uniform routing, the brake alone and
the untrained network. The quantile is taken over sequences x seeds at the member's own
value of the swept knob; members that diverged are left out.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np

from routers.signature import CONCENTRATION
from routers.signature.nulls import UNTRAINED, VARIANTS
from sweeps.errors import BadInput
from sweeps.inference.snapshot import Snapshot

NULLS = (*VARIANTS[1:], UNTRAINED)
"""Names of the criterion nulls."""

Side = Literal["high", "low"]
HIGH: Side = "high"
LOW: Side = "low"
"""The side of its nulls on which a measure shows a part of the signature."""


@dataclasses.dataclass(frozen=True)
class Criterion:
    """The definition of "collapsed".

    Attributes:
      metric: Name of the measure of concentration that is judged.
      threshold: Value that it must exceed.
      quantile: Quantile of each criterion null that it must also exceed; below one
        half, the bar is lower than the middle of the nulls.
      margin: Amount by which it must exceed that quantile.
    """

    metric: str
    threshold: float
    quantile: float = 0.99
    margin: float = 0.02

    def __post_init__(self) -> None:
        if not 0 < self.quantile < 1:
            raise BadInput(
                f"criterion.quantile={self.quantile}: must be between 0 and 1"
            )
        if not 0 <= self.margin < 1:
            raise BadInput(
                f"criterion.margin={self.margin}: must be at least 0 and below 1"
            )


def make_criterion(
    kind: str, threshold: float | None, quantile: float, margin: float
) -> Criterion:
    """Makes the criterion for a kind of geometry.

    Args:
      kind: Kind of geometry; it decides which measure is judged.
      threshold: Threshold of that measure; None for the kind's default.
      quantile: See `Criterion`.
      margin: See `Criterion`.

    Raises:
      BadInput: the threshold, quantile or margin is out of range.
    """
    metric, default = CONCENTRATION[kind]
    if threshold is None:
        threshold = default
    high = 1.0 if metric == "concentration/hub_mass" else np.inf
    if not 0 < threshold < high:
        raise BadInput(
            f"criterion.threshold={threshold}: must be between 0 and {high:g} "
            f"for {metric}"
        )
    return Criterion(metric, threshold, quantile, margin)


@dataclasses.dataclass(frozen=True)
class Judge:
    """Decides which members are collapsed, by one criterion.

    Attributes:
      criterion: The definition.
      start: The measurement at step 0, which is the untrained null.
      value_index: Index of each member's value of the swept knob, ``[M]``.
      end: The measurement at the last step; None while training is under way.
    """

    criterion: Criterion
    start: Snapshot
    value_index: np.ndarray
    end: Snapshot | None = None

    def collapsed(self, now: Snapshot) -> np.ndarray:
        """Which members are collapsed, bool ``[M]``; a diverged member never is."""
        found = now.model[self.criterion.metric][:, 0]
        return (found > self.bar(now)) & now.alive

    def bar(self, now: Snapshot) -> np.ndarray:
        """What each member's concentration must exceed to be collapsed, ``[M]``."""
        criterion = self.criterion
        null = self.null_bar(criterion.metric, now, HIGH)
        return np.maximum(criterion.threshold, null + criterion.margin)

    def null_bar(
        self, metric: str, now: Snapshot, side: Side, nulls: Sequence[str] = NULLS
    ) -> np.ndarray:
        """What a measure must lie beyond to lie beyond every null, at a member's value.

        Where a null was not measured at a step (the rank ratio of the brake alone is
        measured at the first and the last step), its quantiles at both ends stand in:
        the measure must lie beyond either of them.

        Args:
          metric: Name of the measure.
          now: The measurement to judge.
          side: `HIGH` for the largest of the nulls' quantiles at `Criterion.quantile`,
            `LOW` for the smallest of those at 1 - `Criterion.quantile`.
          nulls: Names of the nulls to use.

        Returns:
          ``[M]``; a null without a finite sample is left out, and where no null has one
          the bar is infinite on this side, so that nothing lies beyond it.
        """
        quantile, extreme, never = {
            HIGH: (self.criterion.quantile, max, np.inf),
            LOW: (1 - self.criterion.quantile, min, -np.inf),
        }[side]
        result = np.empty(len(self.value_index))
        for index in np.unique(self.value_index):
            chosen = self.value_index == index
            samples = self._bar_samples(metric, now, chosen & now.alive, nulls)
            bars = [float(np.quantile(sample, quantile)) for sample in samples]
            result[chosen] = extreme(bars, default=never)
        return result

    def _bar_samples(
        self, metric: str, now: Snapshot, chosen: np.ndarray, nulls: Sequence[str]
    ) -> list[np.ndarray]:
        """What `null_bar` takes quantiles of: each null now, or else at both ends."""
        present = self.null_samples(metric, now, chosen)
        ends = [end for end in (self.start, self.end) if end is not None]
        at_ends = [self.null_samples(metric, end, chosen) for end in ends]
        found: list[np.ndarray] = []
        for null in nulls:
            measured = len(present[null]) > 0
            found += [now[null] for now in ([present] if measured else at_ends)]
        return [samples for samples in found if len(samples)]

    def null_samples(
        self, metric: str, now: Snapshot, chosen: np.ndarray
    ) -> dict[str, np.ndarray]:
        """A measure under every criterion null, for some members.

        Args:
          metric: Name of the measure.
          now: The measurement whose nulls are wanted.
          chosen: Members at one value of the knob, bool ``[M]``; those that diverged
            are left out.

        Returns:
          The name of each null and its finite samples over sequences x members, flat.
        """
        rows = {null: (now, row) for row, null in enumerate(VARIANTS) if null}
        rows[UNTRAINED] = (self.start, 0)
        kept = chosen & now.alive
        samples = {
            null: snapshot.spread[metric][kept, row].ravel()
            for null, (snapshot, row) in rows.items()
        }
        return {null: every[np.isfinite(every)] for null, every in samples.items()}
