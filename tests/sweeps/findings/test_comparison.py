"""Several sweeps side by side: what differs, where their onsets are, how they scale."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.findings.comparison import fit_power_law, read_records
from sweeps.findings.summary import summarize_sweep
from sweeps.inference.onset import Onset, estimate_onset
from sweeps.main import main
from sweeps.report.parts import format_onset
from tests.sweeps.simulated import VALUES, simulate_results

SPREAD = np.geomspace(0.8, 1.2, 8)


def keep(
    folder: Path,
    at: float,
    complete: bool = True,
    values: tuple[float, ...] = VALUES,
    **settings: Any,
) -> str:
    """A finished sweep whose seeds change around a value."""
    folder.mkdir()
    config = {"wandb": {"mode": folder.name}, "train": settings}
    manifest = {"fingerprint": "", "config": config, "complete": complete}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    results = simulate_results(at * SPREAD, values=values)
    summary = summarize_sweep(results, "attention")
    (folder / "onset.json").write_text(json.dumps(summary))
    return str(folder)


def test_the_table_names_what_differs_and_where_the_onsets_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same = {"steps": 600}
    folders = [
        keep(tmp_path / "short", 1.0, length=32, **same),
        keep(tmp_path / "middle", 0.5, length=64, **same),
        keep(tmp_path / "again", 0.5, length=64, **same),
        keep(tmp_path / "long", 0.25, length=128, **same),
    ]
    figure, output = tmp_path / "compare.png", tmp_path / "compare.md"
    flags = ["--over=train.length", f"--figure={figure}", f"--output={output}"]
    assert main(["compare", *folders, *flags]) == 0
    text = output.read_text()
    assert "| sweep | train.length | collapsed |" in text
    rows = {row.split(" | ")[0]: row for row in re.findall(r"^\| (.*) \|$", text, re.M)}
    assert "steps" not in rows["sweep"]
    for name, length in (("short", 32), ("middle", 64), ("long", 128)):
        cells = rows[name].split(" | ")
        assert cells[1] == str(length)
        critical, scaled = (float(cell.split(" [")[0]) for cell in cells[3:5])
        np.testing.assert_allclose(scaled, critical * length, rtol=0.01)
    assert " | – | " in rows["short"]
    heads = rows["sweep"].split(" | ")
    part = dict(zip(heads, rows["long"].split(" | "), strict=True))
    assert part["compared with the first"] == "differ"
    parts = json.loads((tmp_path / "long" / "onset.json").read_text())["parts"]
    for name, label in (
        ("rank_ratio", "rank ratio"),
        ("stratification", "stratification"),
    ):
        assert part[label] == format_onset(parts[name]["onset"])
    found = re.search(r"to the power (-[\d.]+) \(95 % (-[\d.]+) to (-[\d.]+)", text)
    exponent, low, high = map(float, found.groups())
    assert low < -1 < high
    assert low < exponent < high
    assert figure.read_bytes()[:4] == b"\x89PNG"
    assert main(["compare", *folders[1:3]]) == 0
    shown = capsys.readouterr().out
    assert "| again | 8/8 … 0/8 |" in shown
    assert "| coincide |" in shown


def test_rows_are_told_apart_and_say_what_else_differs(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folders = []
    for parent, steps in (("a|$x_$", 100), ("_b", 200)):
        (tmp_path / parent).mkdir()
        folder = tmp_path / parent / "run"
        folders.append(keep(folder, 1.0, steps=steps))
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["config"]["sweep"] = {"seeds": steps}
        (folder / "manifest.json").write_text(json.dumps(manifest))
    record = Path(folders[1]) / "onset.json"
    summary = json.loads(record.read_text())
    summary["criterion"]["threshold"] = 0.5
    record.write_text(json.dumps(summary))
    monkeypatch.chdir(folders[0])
    figure = tmp_path / "figure.svg"
    given = [".", folders[1], folders[1], f"--figure={figure}"]
    assert main(["compare", *given]) == 0
    shown = capsys.readouterr().out
    for row in (r"| a\|$x_$/run | ", "| _b/run | ", "| _b/run (2) | "):
        assert shown.count(row) == 1
    assert "criteria differ (threshold is 0.3 or 0.5)" in shown
    assert "training steps differ (100 or 200)" in shown
    assert "seeds differ (sweep.seeds is 100 or 200)" in shown
    assert figure.exists()
    assert main(["compare", folders[1], folders[1]]) == 0
    assert " differ (" not in capsys.readouterr().out


def onset_at(value: float, width: float) -> Onset:
    ends = np.exp(np.log(value) + np.asarray([-width, width]))
    return Onset(value, *ends, None, None, "falling", (), (), 8)


@given(
    st.lists(st.tuples(st.floats(0.1, 5), st.floats(0.05, 0.5)), min_size=3, max_size=6)
)
def test_the_power_law_is_the_weighted_fit_of_numpy(
    points: list[tuple[float, float]],
) -> None:
    scales = 2.0 ** np.arange(len(points))
    law = fit_power_law(scales, [onset_at(*point) for point in points])
    value, width = np.asarray(points).T
    best, covariance = np.polyfit(
        np.log(scales), np.log(value), 1, w=1.959964 / width, cov="unscaled"
    )
    np.testing.assert_allclose(law.exponent, best[0], atol=1e-6)
    reach = 1.959964 * np.sqrt(covariance[0, 0])
    np.testing.assert_allclose(law.high - law.low, 2 * reach, rtol=1e-6)
    assert law.sweeps == len(points)
    assert 0 <= law.p_value <= 1


def test_open_and_censored_onsets_carry_no_power_law() -> None:
    values = np.asarray(VALUES)
    never = estimate_onset(values, np.zeros((8, len(values))))
    closed = [onset_at(1.0, 0.1), onset_at(0.5, 0.1)]
    assert fit_power_law([1, 2, 3], [*closed, never]) is None
    assert fit_power_law([1, 1, 1], [*closed, onset_at(0.7, 0.1)]) is None


def test_what_cannot_be_compared_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = keep(tmp_path / "good", 1.0, length=32, name="x")
    half = keep(tmp_path / "half", 1.0, complete=False)
    other = keep(tmp_path / "other", 1.0, name="y")
    path = tmp_path / "other/onset.json"
    for arguments, named in (
        ([good], "at least two"),
        ([good, half], "half: the sweep is not complete"),
        ([good, str(tmp_path / "none")], "none: manifest.json is damaged"),
        ([good, good, "--output=/no/x"], "--output=/no/x"),
        ([good, good, f"--output={good}/onset.json"], "must lie outside"),
        ([good, good, f"--figure={good}/figures/x.png"], "its folder does not exist"),
        ([good, good, "--over=train.name"], "must be a positive number, but is x"),
        ([good, other, "--over=train.length"], "but is None in other"),
        ([good, good, "--config=configs/attention.py"], "--config"),
    ):
        assert main(["compare", *arguments]) == 2
        assert named in capsys.readouterr().err
    path.write_text(json.dumps({**json.loads(path.read_text()), "knob": "depth.brake"}))
    assert main(["compare", good, other]) == 2
    assert "depth.brake, token.brake" in capsys.readouterr().err
    assert len(read_records([Path(good), Path(good)])) == 2
