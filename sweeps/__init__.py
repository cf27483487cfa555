"""Sweeps of routers over brake strengths and seeds: comparison, not learning.

Belongs here: what runs many members and states what they show. Does not belong here:
the mathematics of a router (`routers`) or of training one member (`train`).

``sweeps.load(workdir)`` opens a finished sweep in Python, see `sweeps.saved`.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sweeps.saved import SavedSweep


def load(workdir: str | Path) -> "SavedSweep":
    """Opens a finished sweep; see `sweeps.saved.load`."""
    from sweeps.saved import load  # imports JAX, for which no command may wait

    return load(workdir)
