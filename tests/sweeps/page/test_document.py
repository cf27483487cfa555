"""The page as a file: what is on it, that nothing in it can act, what is refused."""

import html.parser
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweeps.main import main
from sweeps.page.document import plotly_script, write_own_report, write_report
from sweeps.page.measures import read_layers, read_seeds
from sweeps.report.sentences import describe
from tests.sweeps.page.works import change_summary, keep

HOSTILE = (
    "</script><script>window.hacked=1</script>\"'><img src=x onerror=window.hacked=1>"
    "{{ 7*191 }}<!--<svg/onload=window.hacked=1>%{x}&lt;b&gt;\u2028javascript:hacked"
)


class Elements(html.parser.HTMLParser):
    """Collects elements with their attributes, the text, and the scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.scripts, self._open = "", [], ""
        self.feed(page.replace(plotly_script(), ""))  # which takes a second to parse

    def handle_starttag(self, tag: str, attrs: list[Any]) -> None:
        self.found.append((tag, dict(attrs)))
        self._open = tag

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open == "script":
            self.scripts.append(data)
        elif self._open != "style":
            self.text += data


def report(output: Path, *folders: Path) -> str:
    flags = [str(folder) for folder in folders]
    assert main(["report", *flags, f"--output={output}"]) == 0
    return output.read_text()


def plots_of(page: str) -> dict[str, Any]:
    (data,) = [one for one in Elements(page).scripts if one.startswith("{")]
    return json.loads(data)["plots"]


def test_one_page_says_what_the_terminal_says_and_can_be_read_without_scripts(
    tmp_path: Path,
) -> None:
    folder = keep(tmp_path / "run")
    page = report(tmp_path / "report.html", folder)
    shown = Elements(page)
    words = " ".join(shown.text.split())
    summary = json.loads((folder / "onset.json").read_text())
    for sentence in describe(summary):
        assert " ".join(sentence.split()) in words
    for point in summary["curve"]:
        assert f"{point['value']:.4g}" in words
    for fact in (
        "c" * 40,
        "onset sweep --config=x.py",
        "12.5 s (training)",
        "jax 0.10",
    ):
        assert fact in words
    assert f"onset report {folder} --output={tmp_path}/report.html" in words
    drawn = [tag for tag, _ in shown.found]
    assert drawn.count("circle") == len(summary["curve"])
    sources = [attrs["src"] or "" for tag, attrs in shown.found if tag == "img"]
    assert [one[:22] for one in sources] == ["data:image/png;base64,"]


def test_the_page_needs_nothing_else_and_only_its_own_scripts_may_run(
    tmp_path: Path,
) -> None:
    page = report(tmp_path / "report.html", keep(tmp_path / "run"))
    shown = Elements(page)
    for tag, attrs in shown.found:
        assert tag not in ("link", "iframe", "object", "embed", "base"), tag
        assert tag != "script" or "src" not in attrs
    (policy,) = [a["content"] or "" for _, a in shown.found if "http-equiv" in a]
    assert "default-src 'none'" in policy
    assert policy.count("'sha256-") == 2
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    assert len(page.encode()) - len(plotly_script().encode()) < 5e6


def replace_strings(content: Any) -> Any:
    """The same with a hostile string for each key and each string."""
    if isinstance(content, dict):
        return {
            f"{key}{HOSTILE}" if "." not in key and key.islower() else key: (
                replace_strings(value)
            )
            for key, value in content.items()
        }
    if isinstance(content, list):
        return [replace_strings(one) for one in content]
    return HOSTILE if isinstance(content, str) else content


def hostile(tmp_path: Path, name: str = "<img src=x onerror=hacked=1>") -> list[Path]:
    """Three sweeps, one of them not finished, in which every string is an attack."""
    folders = []
    for place in ("one", "two", "three"):
        folder = keep(tmp_path / place / name, router=HOSTILE)
        path = folder / "manifest.json"
        manifest = json.loads(path.read_text())
        kept = {key: manifest[key] for key in ("complete", "schema", "members")}
        changed = {
            key: replace_strings(value)
            for key, value in manifest.items()
            if key not in kept and key != "files"
        }
        changed["config"] |= {"model": {}, "router": {"name": HOSTILE + place}}
        path.write_text(json.dumps(changed | kept | {"files": {}}))
        folders.append(folder)
    summary = json.loads((folders[0] / "onset.json").read_text())
    criterion = summary["criterion"] | {"metric": HOSTILE}
    change_summary(folders[0], unit=HOSTILE, criterion=criterion)
    change_summary(folders[1], criterion=summary["criterion"] | {"threshold": 0.5})
    unfinished = folders[2] / "manifest.json"
    changed = json.loads(unfinished.read_text()) | {"complete": False}
    unfinished.write_text(json.dumps(changed))
    return folders


def test_hostile_strings_are_text_wherever_they_reach_the_page(tmp_path: Path) -> None:
    page = report(tmp_path / "report.html", *hostile(tmp_path))
    shown = Elements(page)
    assert len(shown.scripts) == 2  # the data and the page's own, beside plotly.js
    assert page.count("</script") == 3
    for tag, attrs in shown.found:
        assert not [name for name in attrs if name.startswith("on")], (tag, attrs)
        assert not (attrs.get("href") or "").startswith("javascript"), attrs
        assert tag != "img" or (attrs["src"] or "").startswith("data:image/png")
    assert "7*191" in shown.text and "1337" not in shown.text
    assert shown.text.count("window.hacked=1</script>") > 10
    assert "<" not in shown.scripts[0]


def test_sweeps_of_other_criteria_and_knobs_are_compared_only_after_saying_so(
    tmp_path: Path,
) -> None:
    first, second, third = (keep(tmp_path / name) for name in "abc")
    summary = json.loads((second / "onset.json").read_text())
    change_summary(second, criterion=summary["criterion"] | {"threshold": 0.5})
    page = report(tmp_path / "report.html", first, second, third)
    text = " ".join(Elements(page).text.split())
    said = text.index("The criteria differ (threshold is 0.3 or 0.5)")
    assert said < text.index("critical value")
    assert text.count("other criterion") == 1
    assert text.count("coincide") > 1
    plot = plots_of(page)["group-0-concentration_measure"]
    heights = {shape["y0"] for shape in plot["layout"]["shapes"]}
    assert heights == {0.3, 0.5}


def test_the_curves_are_those_of_the_findings(tmp_path: Path) -> None:
    folder = keep(tmp_path / "run", at=0.3)
    plots = plots_of(report(tmp_path / "report.html", folder))
    summary = json.loads((folder / "onset.json").read_text())
    for part, found in summary["parts"].items():
        if part not in ("concentration", "rank_ratio", "stratification"):
            continue
        (points,) = [t for t in plots[f"group-0-{part}"]["data"] if "error_y" in t]
        shares = [c / p["members"] for c, p in
                  zip(found["collapsed"], summary["curve"], strict=True)]  # fmt: skip
        np.testing.assert_allclose(points["y"], shares, rtol=1e-3)
        low = np.asarray(points["y"]) - points["error_y"]["arrayminus"]
        if part == "concentration":
            known = [point["fraction"]["low"] for point in summary["curve"]]
            np.testing.assert_allclose(low, known, atol=1e-3)
    seeds = [t for t in plots["group-0-concentration_measure"]["data"]
             if t["meta"]["role"] == "seed"]  # fmt: skip
    assert len(seeds[0]["y"]) == 8 * len(summary["curve"])
    table = read_seeds(folder / "metrics.parquet", summary)
    medians = [
        np.median(
            table["concentration/hub_mass"][np.isclose(table["value"], p["value"])]
        )
        for p in summary["curve"]
    ]
    np.testing.assert_allclose(
        medians, [p["concentration"]["median"] for p in summary["curve"]], rtol=1e-5
    )
    layers = read_layers(folder / "metrics.parquet", summary)
    assert layers is not None
    assert layers.measures["concentration/hub_mass"][""].shape == (10, 3, 2)
    assert plots["sweep-0-routing"]["frames"]["shape"] == [10, 8, 8]


def test_a_measured_model_stands_beside_a_sweep_layer_by_layer(tmp_path: Path) -> None:
    config = {"model": "gpt2-file", "router": {"name": "gpt2"}, "knob": "token.brake"}
    model = keep(tmp_path / "model", router="gpt2", unit="window", config=config)
    page = report(tmp_path / "report.html", keep(tmp_path / "run"), model)
    text = " ".join(Elements(page).text.split())
    assert "gpt2 · measured model · 10 values of token.brake × 8 windows" in text
    assert "Trained sweeps and measured models stand side by side" in text
    plots = plots_of(page)
    assert plots["sweep-1-heads_0"]["frames"]["shape"] == [10, 2, 3]
    assert not [name for name in plots if name.startswith("sweep-1-survival")]
    assert [name for name in plots if name.startswith("sweep-0-survival")]
    # One family, one colour: they differ in line and marker.
    lines = [t["line"] for t in plots["group-0-concentration"]["data"] if "line" in t]
    assert lines[0]["color"] == lines[1]["color"]
    assert lines[0]["dash"] != lines[1]["dash"]


def test_an_unfinished_sweep_is_reported_with_what_there_is(tmp_path: Path) -> None:
    folder = keep(tmp_path / "half", complete=False, files={})
    for name in ("onset.json", "metrics.parquet"):
        (folder / name).unlink()
    wave = folder / "checkpoints" / "wave-0000"
    wave.mkdir(parents=True)
    for index, step in enumerate((0, 20)):
        np.savez(
            wave / f"{index:04}.npz",
            step=step,
            diverged=np.full(6, -1),
            **{"model:loss/held_out": np.full((6, 3), 2.5)},
        )
    (wave / "0002.npz").write_bytes(b"PK damaged")
    page = report(tmp_path / "report.html", folder, keep(tmp_path / "whole"))
    text = " ".join(Elements(page).text.split())
    assert "This sweep is not finished" in text
    assert "Wave 1 of its members was measured up to step 20 of 40" in text
    assert "2.500" in text
    alone = report(tmp_path / "alone.html", folder)
    assert "No sweep is finished" in alone


@pytest.mark.parametrize("damage", ["nothing", "text", "table"])
def test_a_directory_without_a_sweep_is_one_line_and_nothing_is_overwritten(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = keep(tmp_path / "good"), tmp_path / "bad"
    if damage == "nothing":
        bad.mkdir()
    elif damage == "text":
        bad.write_text("no directory")
    else:
        keep(bad)
        (bad / "metrics.parquet").write_bytes(b"PAR1 damaged")
    output = tmp_path / "report.html"
    output.write_text("before")
    assert main(["report", str(good), str(bad), f"--output={output}"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and str(bad) in said
    assert output.read_text() == "before"
    for flags in ([], [str(good), "--output="], [str(good), f"--output={good}/x"]):
        assert main(["report", *flags]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_a_sweep_writes_its_own_page_quickly(tmp_path: Path) -> None:
    folder = keep(tmp_path / "run")
    started = time.monotonic()
    path = write_own_report(folder)
    assert time.monotonic() - started < 3
    assert path == folder / "report.html"
    write_report([folder], tmp_path / "again.html", ["onset"])
    assert "<h1>run: attention</h1>" in path.read_text()
