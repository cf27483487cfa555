"""What the terminal shows: the cost before, progress during, findings after."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
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
    """Member-steps per second since the start."""

    def render(self, task: Task) -> Text:
        """The rate, once there is one."""
        if not task.completed or not task.elapsed:
            return Text("")
        return Text(f"{task.completed / task.elapsed:,.0f}/s")


def make_progress(console: Console) -> Progress:
    """A bar over member-steps with their rate, time spent and time left."""
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
    """One row per value: who collapsed, beside nulls, loss and onset step."""
    table = Table(
        title=f"{summary['router']}: collapse against {summary['knob']}",
        caption=(
            "hubs: seeds collapsed, with the exact 95 % interval in percent; medians "
            "(quartiles) over seeds; null: the largest "
            f"{summary['criterion']['quantile']:g} quantile of the criterion nulls; "
            "rank: effective rank; key cv: key norms' sd/mean; loss: held out, nats; "
            "onset: first measured step collapsed"
        ),
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for heading in (
        summary["knob"].rpartition(".")[2],
        "hubs",
        "95 %",
        summary["criterion"]["metric"].split("/")[-1].replace("_", " "),
        "null",
        "rank",
        "key cv",
        "loss",
        "onset",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for point in summary["curve"]:
        table.add_row(*_cells(point))
    return table


def _cells(point: dict[str, Any]) -> list[str]:
    alive = point["members"] - point["diverged"]
    hub = point["concentration"]
    nulls = [null["high"] for null in point["nulls"].values()]
    fraction = point["fraction"]
    return [
        f"{point['value']:.8g}",  # the digits it was given
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
    """A number without the zero before its point, or a dash."""
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
        table.add_row(finding.check, finding.kind, mark, finding.detail)
    return table


def print_findings(console: Console, summary: dict[str, Any]) -> None:
    """The closing table and what it says in words."""
    console.print(closing_table(summary), width=max(console.width, 80))
    for sentence in describe(summary):
        console.print(f"• {sentence}", highlight=False, markup=False)
