"""Whether arrays fit this machine's memory, asked before they are made."""

import os
from pathlib import Path

LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Where Linux says how much memory a container may use."""


def memory_bytes() -> int:
    """The memory that this machine or container has in all, in use or not.

    What is free at the moment is not asked, so that a sweep that ran once is never
    refused because other programs run beside it.
    """
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in LIMITS:
        try:
            total = min(total, int(path.read_text()))
        except (OSError, ValueError):  # no container, or no limit
            continue
    return total


def require_memory(need: float, settings: str, fits: str) -> None:
    """Refuses arrays that this machine's memory cannot hold.

    Args:
      need: Size of the arrays in bytes; a lower bound is enough.
      settings: Settings that make them so large, with their values.
      fits: What would fit, to follow "must be".

    Raises:
      ValueError: the arrays are too large.
    """
    have = memory_bytes()
    if need > have:
        raise ValueError(
            f"{settings}: takes at least {in_gb(need)} of memory, and this machine has "
            f"{in_gb(have)}; must be {fits}"
        )


def most_that_fit(bytes_of_one: float, power: int = 1) -> int:
    """The largest n whose ``bytes_of_one * n ** power`` bytes this machine holds."""
    return max(int((memory_bytes() / bytes_of_one) ** (1 / power)), 0)


def in_gb(size: float) -> str:
    """A size in gigabytes, for a message."""
    return f"{size / 1e9:,.1f} GB" if size < 1e15 else f"{size / 1e9:.0e} GB"


PAIR_BYTES = 24
"""Least number of bytes for each pair of nodes, while a graph's task is built: random
numbers and probabilities in float64, products and distances in float32."""


def require_room_for_pairs(nodes: int, setting: str) -> None:
    """Refuses a graph whose matrices over pairs of nodes do not fit the memory.

    Raises:
      ValueError: the graph has too many nodes; the message starts with ``setting``.
    """
    fits = f"at most {most_that_fit(PAIR_BYTES, 2):,} nodes"
    require_memory(float(nodes) ** 2 * PAIR_BYTES, setting, fits)
