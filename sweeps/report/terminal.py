"""What the terminal shows: progress during a sweep, findings after it, checks."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from routers.contract import Finding
from sweeps.report.sentences import describe


class MemberStepsColumn(ProgressColumn):
    """A column with the member-steps per second since the start."""

    def render(self, task: Task) -> Text:
        """Renders the rate, once there is one."""
        if not task.completed or not task.elapsed:
            return Text("")
        return Text(f"{task.completed / task.elapsed:,.0f}/s")


def make_progress(console: Console) -> Progress:
    """A progress bar over member-steps with their rate, time elapsed and time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MemberStepsColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )


def closing_table(summary: dict[str, Any]) -> Table:
    """One row per value: collapse, nulls, the other parts, loss and onset step."""
    table = Table(
        title=f"{summary['router']}: collapse against {summary['knob']}",
        caption=_caption(summary["criterion"]),
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for heading in (
        summary["knob"].rpartition(".")[2].replace("_", "\n"),
        "seeds\ncollapsed",
        "95 %\nCI",
        f"{_measure(summary['criterion'])}\n(quartiles)",
        "max\nnull",
        "eff.\nrank",
        "key\nnorm\nCV",
        "loss,\nnats",
        "onset\nstep",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for point in summary["curve"]:
        table.add_row(*_cells(point))
    return table


def _measure(criterion: dict[str, Any]) -> str:
    return str(criterion["metric"].split("/")[-1].replace("_", " "))


def _caption(criterion: dict[str, Any]) -> str:
    """What the columns are, in the order of the columns."""
    return (
        "Seeds that diverged are excluded (marked by !); from the fourth column on, "
        "numbers are medians over seeds. 95 % CI: exact interval of the collapsed "
        f"fraction, in percent. max null: largest {criterion['quantile']:g} quantile "
        f"of {_measure(criterion)} among the criterion nulls. eff. rank: effective "
        "rank of the routed output. key norm CV: standard deviation over mean of key "
        "norms. loss: held-out loss. onset step: first measured step with collapse."
    )


def _cells(point: dict[str, Any]) -> list[str]:
    alive = point["members"] - point["diverged"]
    hub = point["concentration"]
    nulls = [null["high"] for null in point["nulls"].values()]
    fraction = point["fraction"]
    return [
        f"{point['value']:.8g}",  # with the digits it was given
        f"{point['collapsed']}/{alive}" + "!" * bool(point["diverged"]),
        f"{100 * fraction['low']:.0f}–{100 * fraction['high']:.0f}",
        f"{_show(hub['median'])} ({_show(hub['low'])}–{_show(hub['high'])})",
        _show(max(nulls) if nulls else None),
        _show(point.get("effective_rank", {}).get("median"), 1),
        _show(point.get("key_norm_cv", {}).get("median")),
        _show(point["loss"]["median"], 3),
        _show(point["onset_step"]["median"], 0),
    ]


def _show(value: float | None, digits: int = 2) -> str:
    """A number without the zero before its decimal point, or a dash."""
    if value is None:
        return "–"
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
    console.print(closing_table(summary), width=max(console.width, 80))
    for sentence in describe(summary):
        console.print(f"• {sentence}", highlight=False, markup=False)
