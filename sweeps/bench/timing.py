"""How `onset bench` times programs against each other."""

import time
from collections.abc import Callable, Sequence

import numpy as np

ROUNDS = 5


def time_in_turn(
    programs: Sequence[Callable[[], object]], least_seconds: float
) -> np.ndarray:
    """Times programs in rounds, in each of them all programs in turn.

    A turn begins with a call that is not timed: after another program's turn the first
    call took .05 s more, for one member of a sweep as long as 20 steps.

    Args:
      programs: each computes something and waits for it.
      least_seconds: that the timed calls of a turn last together; at least one call.

    Returns:
      Seconds of a call, ``[ROUNDS, programs]``.
    """
    turns = [[_turn(p, least_seconds) for p in programs] for _ in range(ROUNDS)]
    return np.asarray(turns)


def _turn(program: Callable[[], object], least_seconds: float) -> float:
    program()
    start, calls, elapsed = time.perf_counter(), 0, 0.0
    while elapsed < least_seconds or not calls:
        program()
        calls += 1
        elapsed = time.perf_counter() - start
    return elapsed / calls
