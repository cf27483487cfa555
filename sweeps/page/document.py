"""The page as one HTML file that needs no network: text, tables, plots and plotly.js.

Everything that comes from a work directory is text that the template escapes, or JSON
in which no character can end its element. Only the page's own two scripts may run, by
their hashes, and nothing can be loaded (the Content-Security-Policy).
"""

import base64
import functools
import hashlib
import importlib.util
import json
import shlex
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from sweeps.colors import Look, looks
from sweeps.page import maps, tables
from sweeps.page.curves import curves
from sweeps.page.drawing import drawing
from sweeps.page.plots import Plot, knob_axis, label
from sweeps.page.reading import Entry, read_entries
from sweeps.report.knob_axis import KnobScale
from sweeps.report.sentences import describe
from sweeps.storage.files import REPORT, replacing
from sweeps.storage.shape import showing

MAIN = ("onset", "parts", "layers")
"""Names of the PNG figures that stand on a page of several sweeps."""
TEMPLATES = Path(__file__).parent / "templates"


def write_report(
    directories: Sequence[Path],
    output: Path,
    command: Sequence[str],
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Writes one page of sweeps and measured models, atomically.

    Args:
      directories: At least one work directory, finished or not.
      output: The HTML file.
      command: The command that makes this page, for the page.
      tell: Called with the name of each directory before it is read.

    Raises:
      BadInput: a directory holds no sweep, or damaged results; nothing was written.
    """
    entries = read_entries(directories, tell)
    with showing(" or ".join(map(str, directories))):
        text = render(entries, command)
    with replacing(output) as file:
        file.write(text.encode("utf-8", "replace"))


def write_own_report(workdir: Path) -> Path:
    """Writes the page of one sweep into its work directory; returns its path."""
    output = workdir / REPORT
    command = ["onset", "report", str(workdir), f"--output={REPORT}"]
    write_report([workdir], output, command)
    return output


def render(entries: Sequence[Entry], command: Sequence[str]) -> str:
    """The page as HTML.

    Args:
      entries: At least one sweep or measured model.
      command: The command that makes this page.
    """
    drawn = looks([entry.router for entry in entries])
    plots: dict[str, Plot] = {}
    groups = [_group(name, entries, drawn, plots) for name in _knobs(entries)]
    articles = [
        _article(number, entry, look, plots)
        for number, (entry, look) in enumerate(zip(entries, drawn, strict=True))
    ]
    if len(entries) > 1:  # figures are bytes that only a reader without scripts sees
        for article in articles:
            article["figures"] = [one for one in article["figures"] if one[0] in MAIN]
    script, plotly = (TEMPLATES / "page.js").read_text("utf-8"), plotly_script()
    page = environment().get_template("page.html")
    return page.render(
        title=_title(entries),
        articles=articles,
        groups=groups,
        several=len(entries) > 1,
        routers=list(dict.fromkeys(entry.router for entry in entries)),
        cautions=tables.cautions(entries),
        heads=tables.ONSET_HEADS,
        onsets=tables.onset_rows(entries),
        names=[entry.name for entry in entries],
        differences=tables.differences(entries),
        command=shlex.join(command),
        version=version("router-sweeps"),
        style=(TEMPLATES / "page.css").read_text("utf-8"),
        script=script,
        plotly=plotly,
        hashes=[_hash(script), _hash(plotly)],
        data=_json({"plots": plots, "entries": len(entries)}),
    )


@functools.cache
def environment() -> jinja2.Environment:
    """Reads templates, in which everything is escaped that is not marked as safe."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@functools.cache
def plotly_script() -> str:
    """The text of plotly.js, as the package plotly brings it, which is not imported."""
    spec = importlib.util.find_spec("plotly")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("plotly is not installed", name="plotly")
    path = Path(spec.origin).parent / "package_data" / "plotly.min.js"
    return path.read_text("utf-8")


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _json(content: Any) -> str:
    """JSON that can stand inside an element: no ``<``, ``>`` or ``&`` is left."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _title(entries: Sequence[Entry]) -> str:
    if len(entries) > 1:
        return f"Onset of routing collapse in {len(entries)} sweeps"
    (entry,) = entries
    return entry.name if entry.name == entry.router else f"{entry.name}: {entry.router}"


def _knobs(entries: Sequence[Entry]) -> list[str]:
    """Names of the knobs without their slots; those of one name share an axis."""
    return list(
        dict.fromkeys(
            entry.knob.split(".")[-1] for entry in entries if entry.summary is not None
        )
    )


def _group(
    knob: str, entries: Sequence[Entry], drawn: Sequence[Look], plots: dict[str, Plot]
) -> dict[str, Any]:
    """The panels of all sweeps of knobs of one name; their plots are added."""
    ours = [
        entry
        if entry.knob.split(".")[-1] == knob
        else Entry(entry.name, entry.directory, entry.manifest, entry.settings)
        for entry in entries
    ]
    finished = [entry for entry in ours if entry.summary is not None]
    values = {point["value"] for e in finished for point in (e.summary or {})["curve"]}
    scale = KnobScale(np.asarray(sorted(values), float))
    full = dict.fromkeys(entry.knob for entry in finished)
    name = next(iter(full)) if len(full) == 1 else knob
    axis = knob_axis(scale, name)
    columns: dict[str, list[tuple[str, str]]] = {}
    place = _knobs(entries).index(knob)
    for key, (title, plot) in curves(ours, drawn, scale).items():
        plots[f"group-{place}-{key}"] = plot | {"axis": axis}
        part = key.split("_measure")[0]
        columns.setdefault(part, []).append((f"group-{place}-{key}", title))
    return {
        "knob": name,
        "columns": columns,
        "drawing": drawing(ours, drawn, scale, label(name)),
        "numbers": [i for i, entry in enumerate(ours) if entry.summary is not None],
    }


def _article(
    number: int, entry: Entry, look: Look, plots: dict[str, Plot]
) -> dict[str, Any]:
    """What the page says about one sweep alone; its plots are added."""
    sections = []
    if entry.summary is not None:
        for title, found in (
            ("In training", maps.training(entry)),
            ("In depth", maps.depth(entry)),
            ("Routing", maps.routing(entry)),
            ("Layer by layer", maps.heads(entry)),
        ):
            panels = []
            for key, (name, plot) in found.items():
                plots[f"sweep-{number}-{key}"] = plot
                panels.append((f"sweep-{number}-{key}", name, plot.get("labels")))
            if panels:
                sections.append((title, panels))
    figures = [
        (name, f"data:image/png;base64,{base64.b64encode(content).decode()}")
        for name, content in entry.figures.items()
    ]
    finished = entry.summary is not None
    return {
        "number": number,
        "name": entry.name,
        "router": entry.router,
        "look": look,
        "kind": tables.kind(entry),
        "sizes": tables.sizes(entry),
        "finished": finished,
        "sentences": describe(entry.summary) if entry.summary is not None else [],
        "criterion": entry.summary["criterion"] if entry.summary is not None else None,
        "progress": entry.progress,
        "sections": sections,
        "figures": figures,
        "curve": tables.curve_rows(entry) if finished else None,
        "provenance": tables.provenance(entry),
        "settings": tables.settings(entry),
    }
