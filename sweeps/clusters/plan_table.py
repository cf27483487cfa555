"""Plans of a sweep as a table with one column per slice."""

from importlib.metadata import version

from rich.table import Table

from sweeps.clusters.plan import Plan
from sweeps.clusters.slices import GIB
from sweeps.design.experiment import Experiment


def plan_table(plans: list[Plan], experiment: Experiment) -> Table:
    """Renders the plans of all slices as one table."""
    table = Table(
        title=f"{experiment.most_members} members × {experiment.steps} steps "
        f"({experiment.grid.axis.knob}), one column per slice"
    )
    table.add_column("")
    for one in plans:
        table.add_column(one.slice.name, justify="right")
    columns = [_column(one) for one in plans]
    for name in columns[0]:
        table.add_row(name, *(column[name] for column in columns))
    return table


def _column(found: Plan) -> dict[str, str]:
    """Rows of the table for one slice, from top to bottom."""
    fits, own, work, share = found.fits, found.program, found.work, found.share
    seconds = work.seconds(found.device)
    most = f"{fits.members * share:,}" if fits else "none"
    memory = f"{fits.memory * share / GIB:.2f} GiB" if fits else "–"
    in_line = found.member_steps * seconds
    return {
        "chips": f"{found.slice.chips}",
        "hosts": f"{found.hosts}",
        "members that fit on a chip": most,
        "memory they need": memory,
        "members of this sweep on a chip": f"{found.members * share}",
        "compilation time": f"{own.seconds:.1f} s" if own else "does not fit",
        "FLOPs of a member's step": f"{work.flops / 1e6:.1f} MFLOP",
        "bytes read and written by it": f"{work.traffic / 1e6:.1f} MB",
        "limited by": work.bound(found.device),
        "estimated time of a member's step": f"{seconds * 1e6:.0f} µs",
        "estimated time of the sweep": _duration(in_line) if own else "–",
    }


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:,.0f} min"


def footnote(width: int) -> str:
    """Explains how the numbers of the table were obtained."""
    return (
        "These are estimates that were never checked on hardware. libtpu "
        f"{version('libtpu')} compiled the training chunk with {width} member(s) at "
        "once, both for this sweep's number of members and for the number that is said "
        "to fit. Measurements and the diagnosis at the end are not included. Times are "
        "computed from the compiler's counts for one step, at the chip's peak FLOP/s "
        "and memory bandwidth. They are too short in that neither peak is reached and "
        "each of the many small operations has an overhead, and too long in that the "
        "bytes include data that stay on the chip."
    )
