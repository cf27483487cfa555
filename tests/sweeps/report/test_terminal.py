"""Progress where nobody watches, and rates of slow work."""

import io

import pytest
from rich.console import Console
from rich.progress import Task, TaskID

from sweeps.report import terminal
from sweeps.report.terminal import make_progress


@pytest.mark.parametrize(("every", "lines"), [(0.0, 3), (60.0, 1)])
def test_output_that_is_no_terminal_gets_a_line_when_it_is_due(
    every: float, lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last line is that of the end."""
    monkeypatch.setattr(terminal, "TELL_EVERY", every)
    out = io.StringIO()
    with make_progress(Console(file=out, width=100)) as progress:
        bar = progress.add_task("layers", total=4)
        progress.advance(bar)
        progress.update(bar, completed=2, description="untrained; layers")
    told = out.getvalue().splitlines()
    assert len(told) == lines
    assert all("left" in line for line in told)
    assert told[-1].startswith("untrained; layers")


def test_a_terminal_has_its_bar_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "TELL_EVERY", 0.0)
    out = io.StringIO()
    console = Console(file=out, width=100, force_terminal=True)
    with make_progress(console) as progress:
        progress.advance(progress.add_task("layers", total=4))
    assert out.getvalue().count("\n") == 1


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.001, "2,000/s"), (10, "0.2/s"), (600, "0.00333/s")]
)
def test_rates_of_slow_work_have_decimals(seconds: float, told: str) -> None:
    task = Task(TaskID(0), "", total=4, completed=2, _get_time=lambda: seconds)
    task.start_time = 0.0
    assert str(terminal.MemberStepsColumn().render(task)) == told
