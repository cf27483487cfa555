"""Results of a sweep that nobody trained: thresholds in, measurements out."""

from types import SimpleNamespace

import numpy as np

from routers.signature import (
    CHANNEL_HUB,
    CHANNEL_SINKS,
    COLLAPSE,
    HUB_KEY,
    VALUE_DRAIN,
)
from sweeps.design.grid import Axis, make_grid
from sweeps.findings.results import Results
from sweeps.inference.criterion import make_criterion
from sweeps.inference.snapshot import LOSS, summarize

HUB_MASS = "concentration/hub_mass"
VALUES = (0.0, *(float(f"{v:.4g}") for v in np.geomspace(0.03, 3, 9)))
SEQUENCES, LAYERS, HEADS = 5, 3, 2
STEPS = (0, 10, 20, 30, 40)


def simulate_results(
    thresholds: np.ndarray,
    rank_factor: float = 1.0,
    key_factor: float | None = 1.0,
    diverged: tuple[int, ...] = (),
    values: tuple[float, ...] = VALUES,
    channels: bool = False,
) -> Results:
    """A sweep in which seed u is collapsed below its threshold.

    Members collapse from step 20 on below half their threshold, else from step 30,
    in layer 1 first and below a quarter of the threshold in layers 1 and 2.

    Args:
      thresholds: of concentration, ``[units]``; the other parts' are multiples.
      rank_factor: of the rank ratio.
      key_factor: of the hub's norms; None leaves the router without norms.
      diverged: members that froze.
      values: of the knob.
      channels: whether the channels of a head have matrices of their own.
    """
    grid = make_grid(Axis("token.brake", values), len(thresholds), 1)
    experiment = SimpleNamespace(
        grid=grid,
        criterion=make_criterion("causal", None, 0.99, 0.02),
        kind="causal",
        steps=STEPS[-1],
        fixed={},
    )
    snapshots = []
    swept = np.asarray(values)[grid.value]
    own = thresholds[grid.unit]
    frozen = np.full(grid.members, -1)
    frozen[list(diverged)] = 5
    noise = np.random.default_rng(0)
    for step in STEPS:
        started = np.where(swept < own / 2, 20, 30) <= step
        shape = (grid.members, 3, SEQUENCES, LAYERS, HEADS)
        jitter = 1 + 0.01 * noise.random(shape)

        def measure(
            at: np.ndarray,
            low: float,
            high: float,
            started: np.ndarray = started,
            jitter: np.ndarray = jitter,
        ) -> np.ndarray:
            table = np.full(jitter.shape, low)
            chosen = (swept < at) & started
            table[chosen, 0, :, 1, 0] = high
            table[chosen & (swept < at / 4), 0, :, 2, 1] = high
            return table * jitter

        measures = {
            HUB_MASS: measure(own, 0.07, 0.6),
            COLLAPSE: measure(own * rank_factor, 1.0, 0.5),
            LOSS: np.full(shape[:3], 2.0),
            "accuracy/held_out": np.full(shape[:3], 0.5),
        }
        if key_factor is not None:
            measures[HUB_KEY] = -measure(own * key_factor, 0.1, 0.9)
            measures[VALUE_DRAIN] = -measure(own * key_factor, 0.1, 0.9)
        if channels:
            measures[CHANNEL_HUB] = measure(own, 0.2, 0.9)
            measures[CHANNEL_SINKS] = measure(own, 0.0, 0.6)
        snapshots.append(summarize(step, measures, np.full(grid.members, 2.0), frozen))
    return Results(experiment, tuple(snapshots))
