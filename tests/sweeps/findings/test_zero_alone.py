"""A sweep of the value 0 alone: no onset, and everything else says so or works."""

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from configs import attention
from sweeps.design.experiment import build_experiment
from sweeps.errors import BadInput
from sweeps.findings.summary import summarize_sweep
from sweeps.main import main
from sweeps.report.figures import draw_figures
from sweeps.report.sentences import describe, title
from sweeps.report.terminal import print_findings
from sweeps.tracking.rows import curve_row
from tests.sweeps.findings.test_comparison import keep
from tests.sweeps.simulated import simulate_results

HERE = np.asarray([1.0] * 5 + [-1.0] * 3)
"""Thresholds above and below 0: five of eight seeds collapse there."""


def test_the_grid_has_0_alone_and_no_end_of_the_range_matters() -> None:
    config = attention.get_config()
    config.sweep.num = 0
    config.sweep.knob = "token.norm_awareness"
    config.sweep.high = 3.0  # out of the knob's range, but no value is tried there
    experiment = build_experiment(config)
    assert experiment.grid.axis.values == (0.0,)
    assert experiment.wave_members == experiment.most_members == 8
    config.sweep.num = 1
    with pytest.raises(BadInput, match="sweep.high=3.0"):
        build_experiment(config)


def test_the_findings_claim_no_onset() -> None:
    summary = summarize_sweep(simulate_results(HERE, values=(0.0,)), "attention")
    onset = summary["onset"]
    assert onset["estimate"] is onset["censored"] is onset["low"] is None
    assert onset["crossings"] == onset["undecided"] == []
    sentences = describe(summary)
    assert sentences[0].startswith("No onset: token.brake = 0 is the only value")
    assert (
        "5 of 8 seeds collapsed (exact 95 % interval of the fraction 0.24 to 0.91)"
        in (sentences[0])
    )
    parts = "concentration in 5; rank ratio in 5; stratification in 5."
    assert any(sentence.endswith(parts) for sentence in sentences)
    text = " ".join(sentences)
    for word in ("critical", "diverged", "undecided", "coincide", "estimate"):
        assert word not in text
    assert title(summary) == "attention: token.brake = 0 alone, 5 of 8 seeds collapsed"


def test_seeds_that_all_diverged_are_not_counted() -> None:
    lost = simulate_results(HERE, values=(0.0,), diverged=tuple(range(8)))
    said = " ".join(describe(summarize_sweep(lost, "attention")))
    assert "At 0, 0 of 0 seeds collapsed" in said
    assert "8 members diverged" in said


def test_terminal_figures_and_tracking_take_it(tmp_path: Path) -> None:
    results = simulate_results(HERE, values=(0.0,))
    summary = summarize_sweep(results, "attention")
    warnings: list[str] = []
    shown = [("one", np.eye(4))]
    paths = draw_figures(tmp_path, summary, results, shown, warnings.append)
    assert warnings == []
    assert len(paths) == 6
    console = Console(file=io.StringIO(), width=100)
    print_findings(console, summary)
    assert "5/8" in console.file.getvalue()
    (point,) = summary["curve"]
    assert curve_row(point)["onset/collapse_fraction"] == 5 / 8


def test_it_can_be_compared_but_not_for_its_onset(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = [keep(tmp_path / name, 1.0, values=(0.0,)) for name in ("one", "two")]
    other = keep(tmp_path / "other", 1.0)
    for folders in ([other, *alone], alone):
        figure = tmp_path / "figure.png"
        assert main(["compare", *folders, f"--figure={figure}"]) == 0
        text, err = capsys.readouterr()
        assert err == ""
        assert "| one | 8/8 | no estimate | no estimate | no estimate | – |" in text
        assert "token.brake = 0 is the only value: one, two." in text
        assert "0 seeds" not in text
        assert figure.read_bytes()[:4] == b"\x89PNG"
