"""Timing of several programs against each other for `onset bench`."""

import time
from collections.abc import Callable, Sequence

import numpy as np

TIMING_ROUNDS = 5
"""Number of rounds; each round times every program once."""


def time_alternately(
    programs: Sequence[Callable[[], object]], least_seconds: float
) -> np.ndarray:
    """Times programs alternately: in each round, one after the other.

    The first call of a program in each round is not timed. After another program had
    run, that call took .05 s longer, which is as long as 20 steps of one member.

    Args:
      programs: Functions that compute something and wait for the result.
      least_seconds: Minimum total time of the timed calls of a program in each round;
        there is at least one call.

    Returns:
      Mean seconds per call, ``[TIMING_ROUNDS, programs]``.
    """
    rounds = range(TIMING_ROUNDS)
    return np.asarray(
        [[_time_calls(p, least_seconds) for p in programs] for _ in rounds]
    )


def _time_calls(program: Callable[[], object], least_seconds: float) -> float:
    """Mean seconds per call, after one call that is not timed."""
    program()
    start, calls, elapsed = time.perf_counter(), 0, 0.0
    while elapsed < least_seconds or not calls:
        program()
        calls += 1
        elapsed = time.perf_counter() - start
    return elapsed / calls
