"""Plans as a table, one column for each slice."""

from importlib.metadata import version

from rich.table import Table

from sweeps.clusters.plan import Plan
from sweeps.clusters.slices import GIB
from sweeps.design.experiment import Experiment


def plan_table(plans: list[Plan], experiment: Experiment) -> Table:
    """The table of all slices."""
    table = Table(
        title=f"{experiment.most_members} members × {experiment.steps} steps "
        f"({experiment.grid.axis.knob}), one column a slice"
    )
    table.add_column("")
    for one in plans:
        table.add_column(one.slice.name, justify="right")
    columns = [_column(one) for one in plans]
    for name in columns[0]:
        table.add_row(name, *(column[name] for column in columns))
    return table


def _column(found: Plan) -> dict[str, str]:
    """What the table says of a slice, top to bottom."""
    fits, own, work, share = found.fits, found.program, found.work, found.share
    seconds = work.seconds(found.device)
    most = f"{fits.members * share:,}" if fits else "none"
    memory = f"{fits.memory * share / GIB:.2f} GiB" if fits else "–"
    in_line = found.member_steps * seconds
    return {
        "chips": f"{found.slice.chips}",
        "hosts": f"{found.hosts}",
        "members that fit on a chip": most,
        "memory they take": memory,
        "members of this sweep on it": f"{found.members * share}",
        "compiled in": f"{own.seconds:.1f} s" if own else "does not fit",
        "a member's step": f"{work.flops / 1e6:.1f} MFLOP",
        "bytes it reads and writes": f"{work.traffic / 1e6:.1f} MB",
        "bound by": work.bound(found.device),
        "estimated time of it": f"{seconds * 1e6:.0f} µs",
        "estimated time of the sweep": _duration(in_line) if own else "–",
    }


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:,.0f} min"


def footnote(width: int) -> str:
    """What the numbers of the table rest on."""
    return (
        f"An estimate, never checked on hardware. libtpu {version('libtpu')} compiled "
        f"the training chunk, {width} member(s) at once, at this sweep's number of "
        "members and at the number said to fit; measuring and the diagnosis at the end "
        "are not in it. Times are what the compiler's counts for one step take at the "
        "chip's peak and bandwidth: too short, as neither is reached and each of the "
        "many small operations has a cost of its own; too long, as the bytes include "
        "what stays on the chip."
    )
