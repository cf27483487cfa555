"""What the terminal shows: progress during a sweep, findings after it, checks."""

import io
import math
import time
from collections.abc import Callable
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from routers.contract import Finding
from sweeps.report.sentences import describe, in_units

NARROWEST = 40
"""Width in characters below which a table is no longer divided."""
TELL_EVERY = 60.0
"""Seconds between lines of progress where the output is no terminal."""
NONE = "–"
"""What stands for a number that does not exist."""


def say(console: Console, text: str) -> None:
    """Prints a sentence; brackets in it, as in a path, are no markup."""
    console.print(text, highlight=False, markup=False)


def warn(console: Console, text: str) -> None:
    """Prints a warning on one line, however narrow the terminal is."""
    line = " ".join(text.split())
    console.print(line, style="red", highlight=False, markup=False, soft_wrap=True)


def attempt(console: Console, what: str, action: Callable[[], Any]) -> Any:
    """Does what a sweep can do without; a failure is one warning.

    Args:
      console: Where the warning is printed.
      what: What is done, for the warning.
      action: Does it.

    Returns:
      What ``action`` returns, or None if it fails.
    """
    try:
        return action()
    # Libraries that draw, compile or connect raise anything.
    except Exception as error:
        warn(console, f"{what} failed ({reason(error)}); the sweep goes on without it")
    return None


def reason(error: Exception) -> str:
    """The first line of an error, or its name if it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


class MemberStepsColumn(ProgressColumn):
    """A column with the member-steps per second since the start."""

    def render(self, task: Task) -> Text:
        """Renders the rate, once there is one."""
        if not task.completed or not task.elapsed:
            return Text("")
        rate = task.completed / task.elapsed
        return Text(f"{rate:,.0f}/s" if rate >= 100 else f"{rate:.3g}/s")


class SteadyProgress(Progress):
    """A progress bar that is a line a minute where the output is no terminal."""

    def __init__(self, *columns: ProgressColumn, console: Console) -> None:
        """As rich's, on a console; the time left is estimated from the last hour."""
        # A chunk of steps may take minutes, and rich looks back for 30 s by default.
        super().__init__(*columns, console=console, speed_estimate_period=3600)
        self._told = time.monotonic()

    def update(self, task_id: TaskID, **changes: Any) -> None:
        """As rich's; prints the line when it is due."""
        super().update(task_id, **changes)
        self._tell()

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """As rich's; prints the line when it is due."""
        super().advance(task_id, advance)
        self._tell()

    def _tell(self) -> None:
        now = time.monotonic()
        if not self.console.is_terminal and now - self._told >= TELL_EVERY:
            self._told = now
            self.console.print(self.get_renderable())


def make_progress(console: Console) -> Progress:
    """A progress bar over member-steps with their rate, time elapsed and time left."""
    return SteadyProgress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MemberStepsColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )


def closing_tables(summary: dict[str, Any], width: int) -> list[Table]:
    """One row per value: collapse, nulls, the other parts, loss and onset step.

    Columns without any number are left out.

    Args:
      summary: Content of ``onset.json``.
      width: Characters of a line; what does not fit beside the value goes to further
        tables.
    """
    headings, rows = _headings(summary), _rows(summary)
    told = _told(rows)
    measure = Console(width=1000, file=io.StringIO()).measure
    tables: list[Table] = []
    while told:
        fitting = len(told)
        while fitting > 1:
            table = _closing_table(summary, headings, rows, told[:fitting])
            if measure(table).maximum <= width:
                break
            fitting -= 1
        tables.append(_closing_table(summary, headings, rows, told[:fitting]))
        told = told[fitting:]
    return tables


def _closing_table(
    summary: dict[str, Any],
    headings: tuple[str, ...],
    rows: list[list[str]],
    columns: list[int],
) -> Table:
    """The value and some columns beside it."""
    table = Table(
        title=f"{summary['router']}: collapse against {summary['knob']}",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for column in (0, *columns):
        table.add_column(headings[column], justify="right", no_wrap=True)
    for cells in rows:
        table.add_row(cells[0], *(cells[column] for column in columns))
    return table


def _headings(summary: dict[str, Any]) -> tuple[str, ...]:
    return (
        summary["knob"].rpartition(".")[2].replace("_", "\n"),
        f"{summary['unit']}s\ncollapsed",
        "95 %\nCI",
        f"{_measure(summary['criterion'])}\n(quartiles)",
        "max\nnull",
        "rank\nratio",
        "hub key,\nvalue",
        "loss,\nnats",
        "onset\nstep",
    )


def _measure(criterion: dict[str, Any]) -> str:
    return str(criterion["metric"].split("/")[-1].replace("_", " "))


def _caption(summary: dict[str, Any]) -> str:
    """What the columns are, in the order of the columns."""
    criterion = summary["criterion"]
    notes = {
        2: "95 % CI: exact interval of the collapsed fraction, in percent.",
        4: f"max null: largest {criterion['quantile']:g} quantile of "
        f"{_measure(criterion)} among the criterion nulls.",
        5: "rank ratio: effective rank of what was mixed, relative to row-permuted "
        "routing.",
        6: "hub key, value: norms of the hub's key and value divided by the medians of "
        "all sources.",
        7: "loss: held-out loss.",
        8: "onset step: first measured step with collapse.",
    }
    first = (
        "Seeds that diverged are excluded (marked by !); from the fourth column on, "
        "numbers are medians over seeds."
    )
    known = [notes[column] for column in _told(_rows(summary)) if column in notes]
    return in_units(" ".join([first, *known]), summary["unit"])


def _told(rows: list[list[str]]) -> list[int]:
    """The columns beside the value that hold a number."""
    return [c for c in range(1, len(rows[0])) if any(row[c] != NONE for row in rows)]


def _rows(summary: dict[str, Any]) -> list[list[str]]:
    rows = [_cells(point) for point in summary["curve"]]
    # A published network has no course: its only steps are untrained and published.
    trained_here = summary["unit"] == "seed"
    return rows if trained_here else [[*row[:-1], NONE] for row in rows]


def _cells(point: dict[str, Any]) -> list[str]:
    alive = point["members"] - point["diverged"]
    hub = point["concentration"]
    nulls = [null["high"] for null in point["nulls"].values()]
    norms = [_factor(point.get(f"hub_{one}_log_ratio")) for one in ("key", "value")]
    fraction = point["fraction"]
    return [
        f"{point['value']:.8g}",  # with the digits it was given
        f"{point['collapsed']}/{alive}" + "!" * bool(point["diverged"]),
        f"{100 * fraction['low']:.0f}–{100 * fraction['high']:.0f}",
        f"{_show(hub['median'])} ({_show(hub['low'])}–{_show(hub['high'])})",
        _show(max(nulls) if nulls else None),
        _show(point.get("rank_ratio", {}).get("median")),
        NONE if norms == [NONE] * 2 else ", ".join(norms),
        _show(point["loss"]["median"], 3),
        _show(point["parts"]["concentration"]["onset_step"]["median"], 0),
    ]


def _factor(part: dict[str, Any] | None) -> str:
    """The median of a logarithm, as a factor."""
    median = part["median"] if part else None
    return _show(None if median is None else math.exp(median))


def _show(value: float | None, digits: int = 2) -> str:
    """A number without the zero before its decimal point, or a dash."""
    if value is None:
        return NONE
    text = f"{value:.{digits}f}"
    return text[1:] if text.startswith("0.") else text


def contract_table(target: str, findings: list[Finding]) -> Table:
    """One row for each check of a router's contract."""
    failed = sum(not finding.passed for finding in findings)
    title = f"{target}: {len(findings) - failed} of {len(findings)} checks passed"
    table = Table(title=title)
    for heading in ("check", "geometry", "", "what was found"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        mark = "[green]passed[/]" if finding.passed else "[red]FAILED[/]"
        if finding.unchecked:
            mark = "[yellow]not checked[/]"
        found = escape(finding.detail or finding.unchecked)
        table.add_row(finding.check, finding.kind or "all", mark, found)
    return table


def print_findings(console: Console, summary: dict[str, Any]) -> None:
    """Prints the closing table, then the findings in sentences."""
    width = max(console.width, NARROWEST)
    for table in closing_tables(summary, width):
        console.print(table, width=width)
    say(console, _caption(summary))
    for sentence in describe(summary):
        console.print(f"• {sentence}", highlight=False, markup=False)
