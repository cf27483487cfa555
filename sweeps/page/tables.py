"""The tables of a page: onsets, what differs, origins, and every curve in numbers."""

import math
import shlex
from collections.abc import Sequence
from typing import Any, NamedTuple

from sweeps.findings.comparison import Record, caveats, differing, verdict
from sweeps.page.reading import Entry
from sweeps.report.parts import PART_NAMES, format_interval
from sweeps.storage.shape import SEED


class Cell(NamedTuple):
    """A cell of a table.

    Attributes:
      text: What is shown.
      key: What rows are sorted by: a number, or text; None comes last.
    """

    text: str
    key: float | str | None


ONSET_HEADS = (
    "sweep",
    "router",
    "knob",
    "part",
    "critical value",
    "95 % interval",
    "first … last",
    "seeds",
    "against the first",
)


def onset_rows(entries: Sequence[Entry]) -> list[tuple[int, list[Cell]]]:
    """One row for every part of every finished sweep, with the sweep's number."""
    rows = []
    first = next((e.record for e in entries if e.summary is not None), None)
    for i, entry in enumerate(entries):
        if entry.summary is None or first is None:
            continue
        for part, name in PART_NAMES.items():
            found = entry.summary["parts"].get(part)
            beside = _beside(first, entry) if part == "concentration" else ""
            rows.append((i, _onset_row(entry, name, found, beside)))
    return rows


def _beside(first: Record, entry: Entry) -> str:
    """Whether the onset of concentration is where the first sweep's is."""
    record = entry.record
    if record.name == first.name:
        return "the first"
    if record.summary["criterion"] != first.summary["criterion"]:
        return "other criterion"
    if record.summary["knob"] != first.summary["knob"]:
        return "other knob"
    if not (record.values.any() and first.values.any()):
        return "–"
    return verdict(first, record)


def _onset_row(
    entry: Entry, part: str, found: dict[str, Any] | None, beside: str
) -> list[Cell]:
    def text(said: str) -> Cell:
        return Cell(said, said)

    cells = [text(entry.name), text(entry.router), text(entry.knob), text(part)]
    if found is None:
        return [*cells, Cell("not defined", None), *[Cell("–", None)] * 3, text(beside)]
    onset = found["onset"]
    known = onset["estimate"] is not None
    interval = format_interval(onset["low"], onset["high"]) if known else "–"
    assert entry.summary is not None
    counts = found["collapsed"]
    ends = [entry.summary["curve"][0], entry.summary["curve"][-1]]
    alive = [point["members"] - point["diverged"] for point in ends]
    shown = f"{counts[0]}/{alive[0]} … {counts[-1]}/{alive[-1]}"
    return [
        *cells,
        Cell(place_of(onset), onset["estimate"]),
        Cell(interval, onset["low"] if known else None),
        Cell(shown, counts[0] / alive[0] if alive[0] else None),
        Cell(f"{onset['units']}", onset["units"]),
        text(beside or "–"),
    ]


def place_of(onset: dict[str, Any]) -> str:
    """On which side of which value a part is, or that there is none."""
    if onset["estimate"] is not None:
        side = "below" if onset["direction"] == "falling" else "above"
        return f"{side} {onset['estimate']:.3g}"
    if onset["censored"] is None:
        return "no estimate"
    share = {"all": "≥ ½ throughout", "none": "≤ ½ throughout"}[onset["censored"]]
    return f"{share}, some undecided" if onset["undecided"] else share


def cautions(entries: Sequence[Entry]) -> list[str]:
    """What has to be said before sweeps are compared, one statement each."""
    finished = [entry.record for entry in entries if entry.summary is not None]
    if len(finished) < 2:
        return []
    said = [one.replace("*", "") for one in caveats(finished)]
    knobs = dict.fromkeys(record.summary["knob"] for record in finished)
    if len(knobs) > 1:
        said.append(
            f"The knobs differ ({', '.join(knobs)}): a step of distance is another one "
            "for positions, for nodes and for layers."
        )
    units = dict.fromkeys(record.summary["unit"] for record in finished)
    if len(units) > 1:
        said.append(
            "Trained sweeps and measured models stand side by side: the members of a "
            "sweep are networks that were trained at their value of the knob; those of "
            "a measured model are windows of text that one published network reads, "
            "and a knob changes it at evaluation only."
        )
    return said


def differences(entries: Sequence[Entry]) -> list[tuple[str, list[str]]]:
    """Settings in which the sweeps differ, with the value of each sweep."""
    kinds: dict[bool, list[Record]] = {}
    for one in entries:
        # Measured models have settings of their own; only like is compared with like.
        measured = not isinstance(one.manifest["config"].get("model"), dict)
        kinds.setdefault(measured, []).append(Record(one.name, one.settings, {}))
    names = [name for records in kinds.values() for name in differing(records)]
    return [
        (name, [_shown(one.settings.get(name, "–")) for one in entries])
        for name in dict.fromkeys(names)
    ]


def settings(entry: Entry) -> list[tuple[str, str]]:
    """Every setting of a sweep, by its dotted name."""
    return [(name, _shown(value)) for name, value in entry.settings.items()]


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def provenance(entry: Entry) -> list[tuple[str, str]]:
    """Where a sweep comes from, as names and values."""
    manifest = entry.manifest
    device, seconds = manifest.get("device") or {}, manifest.get("seconds") or {}
    members = manifest.get("members") or []
    command = manifest.get("command")
    rate = manifest.get("member_steps_per_second")
    found = {
        "work directory": str(entry.directory),
        "state": "complete" if manifest["complete"] else "not finished",
        "command": shlex.join(map(str, command)) if command else "",
        "members": str(len(members)) if members else "",
        "wall time": ", ".join(
            f"{_shown(round(value, 1))} s ({name})" for name, value in seconds.items()
        ),
        "speed": f"{rate:,.0f} member-steps/s" if rate else "",
        "device": ", ".join(f"{name} {_shown(one)}" for name, one in device.items()),
        "commit": str(manifest.get("git_commit") or "none (installed copy)"),
        "versions": ", ".join(
            f"{name} {number}"
            for name, number in (manifest.get("versions") or {}).items()
        ),
        "fingerprint": str(manifest["fingerprint"]),
    }
    found |= {
        f"SHA-256 of {name}": str(digest)
        for name, digest in manifest.get("files", {}).items()
    }
    return [(name, value) for name, value in found.items() if value]


def curve_rows(entry: Entry) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of what was found at each value of the knob."""
    assert entry.summary is not None
    summary = entry.summary
    parts = [part for part in PART_NAMES if part in summary["parts"]]
    heads = [summary["knob"], *(f"{PART_NAMES[part]} in" for part in parts)]
    heads += ["exact 95 %", _metric(summary), "its largest null", "held-out loss"]
    lost = any(point["diverged"] for point in summary["curve"])
    heads += ["diverged"] * lost
    shown = [summary["parts"][part]["collapsed"] for part in parts]
    rows = []
    for i, point in enumerate(summary["curve"]):
        alive = point["members"] - point["diverged"]
        nulls = [null["high"] for null in point["nulls"].values()]
        known = [one for one in nulls if one is not None]
        fraction = point["fraction"]
        rows.append(
            [
                f"{point['value']:.4g}",
                *(f"{counts[i]}/{alive}" for counts in shown),
                f"{fraction['low']:.2f}–{fraction['high']:.2f}",
                _spread(point["concentration"]),
                f"{max(known):.3f}" if known else "–",
                _spread(point["loss"]),
                *[str(point["diverged"])] * lost,
            ]
        )
    return heads, rows


def _metric(summary: dict[str, Any]) -> str:
    return str(summary["criterion"]["metric"]).split("/")[-1].replace("_", " ")


def _spread(block: dict[str, Any]) -> str:
    if block["median"] is None or not math.isfinite(block["median"]):
        return "–"
    return f"{block['median']:.3f} [{block['low']:.3f}, {block['high']:.3f}]"


def kind(entry: Entry) -> str:
    """What an entry is, in one or two words."""
    if entry.summary is None:
        return "not finished"
    return "trained sweep" if entry.unit == SEED else "measured model"


def sizes(entry: Entry) -> str:
    """How much there is of an entry, in a line."""
    if entry.summary is None:
        return _how_far(entry)
    curve = entry.summary["curve"]
    count = curve[0]["members"]
    unit = f"{entry.unit}{'s' * (count != 1)}"
    trained = f" × {entry.summary['steps']:,} steps" if entry.unit == SEED else ""
    values = f"{len(curve)} value{'s' * (len(curve) > 1)} of {entry.knob}"
    return f"{values} × {count} {unit}{trained}"


def _how_far(entry: Entry) -> str:
    progress, total = entry.progress, entry.settings.get("train.steps")
    if progress is None or not (progress.measured or progress.passes):
        return "Nothing has been measured yet."
    if not progress.measured:
        return f"{progress.passes} passes over the model are done."
    last = progress.measured[-1]
    return (
        f"Wave {last.wave + 1} of its members was measured up to step {last.step} of "
        f"{_shown(total)}. The same command continues from there."
    )
