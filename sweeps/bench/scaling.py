"""Figure of how the time per member-step depends on the number of members."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from sweeps.report.figures import STYLE
from sweeps.report.knob_axis import FREE


def draw_scaling(
    path: Path, counts: Sequence[int], seconds: np.ndarray, reference: int
) -> None:
    """Draws and writes the figure.

    Args:
      path: File to write.
      counts: Increasing numbers of members.
      seconds: Time of one step of one member ``[rounds, counts]``, in seconds.
      reference: The number of members whose time is drawn as 1.
    """
    base = seconds[:, [list(counts).index(reference)]]
    middle = np.median(seconds / base, axis=0)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(4.2, 2.8), layout="constrained")
        axes.axhline(1.0, color="#999999", linewidth=0.8, linestyle=":")
        lowest, highest = (seconds / base).min(axis=0), (seconds / base).max(axis=0)
        axes.fill_between(counts, lowest, highest, color=FREE, alpha=0.2, linewidth=0)
        axes.plot(counts, middle, "o-", color=FREE)
        axes.set_xscale("log", base=2)
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.set_ylim(bottom=0)
        axes.set_xlabel("members")
        axes.set_ylabel(f"time per member-step,\nrelative to {reference} members")
        rounds = len(seconds)
        axes.set_title(f"median, minimum and maximum of {rounds} rounds")
        figure.savefig(path)
        plt.close(figure)
