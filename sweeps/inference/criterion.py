"""What "collapsed" means, and the judge that decides it for every member.

A member is *collapsed* when its concentration exceeds a threshold **and**, by a margin,
a high quantile of each of three criterion nulls: uniform routing, the brake alone and
the untrained network. The quantile is taken over sequences x seeds at the member's own
value of the swept knob.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from routers.signature import CONCENTRATION
from routers.signature.nulls import UNTRAINED, VARIANTS
from sweeps.errors import BadInput
from sweeps.inference.snapshot import Snapshot

NULLS = (*VARIANTS[1:], UNTRAINED)
"""Names of the criterion nulls."""


@dataclasses.dataclass(frozen=True)
class Criterion:
    """The definition of "collapsed".

    Attributes:
      metric: Name of the measure of concentration that is judged.
      threshold: Value that it must exceed.
      quantile: Quantile of each criterion null that it must also exceed.
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
    """

    criterion: Criterion
    start: Snapshot
    value_index: np.ndarray

    def collapsed(self, now: Snapshot) -> np.ndarray:
        """Which members are collapsed, bool ``[M]``; a diverged member never is."""
        found = now.model[self.criterion.metric][:, 0]
        return (found > self.bar(now)) & now.alive

    def collapsed_layers(self, now: Snapshot) -> np.ndarray:
        """Which layers of which members are collapsed, bool ``[M, L]``.

        Every layer is judged by its most concentrated head against the whole model's
        bar, so a member is collapsed exactly where one of its layers is.
        """
        found = now.layers[self.criterion.metric][:, 0].max(-1)
        return (found > self.bar(now)[:, None]) & now.alive[:, None]

    def bar(self, now: Snapshot) -> np.ndarray:
        """What each member's concentration must exceed to be collapsed, ``[M]``."""
        criterion = self.criterion
        null = self.null_bar(criterion.metric, now, criterion.quantile)
        return np.maximum(criterion.threshold, null + criterion.margin)

    def null_bar(
        self, metric: str, now: Snapshot, quantile: float, nulls: Sequence[str] = NULLS
    ) -> np.ndarray:
        """The most extreme quantile among nulls of a measure at each member's value.

        Args:
          metric: Name of the measure.
          now: The measurement to judge.
          quantile: Above one half, the largest of the nulls' quantiles is taken;
            otherwise the smallest.
          nulls: Names of the nulls to use.

        Returns:
          ``[M]``; a null without a finite sample is left out, and the bar is infinite
          where no null has one.
        """
        largest = quantile > 0.5
        extreme, nothing = (max, -np.inf) if largest else (min, np.inf)
        result = np.empty(len(self.value_index))
        for index in np.unique(self.value_index):
            chosen = self.value_index == index
            samples = self.null_samples(metric, now, chosen)
            finite = [samples[null][np.isfinite(samples[null])] for null in nulls]
            result[chosen] = extreme(
                float(np.quantile(sample, quantile)) if len(sample) else nothing
                for sample in finite
            )
        return result

    def null_samples(
        self, metric: str, now: Snapshot, chosen: np.ndarray
    ) -> dict[str, np.ndarray]:
        """A measure under every criterion null, for some members.

        Args:
          metric: Name of the measure.
          now: The measurement whose nulls are wanted.
          chosen: Members at one value of the knob, bool ``[M]``.

        Returns:
          The name of each null and its flat samples over sequences x members.
        """
        samples = {
            null: now.spread[metric][chosen, row].ravel()
            for row, null in enumerate(VARIANTS)
            if null
        }
        samples[UNTRAINED] = self.start.spread[metric][chosen, 0].ravel()
        return samples
