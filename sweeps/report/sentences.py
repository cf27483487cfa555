"""The findings of a sweep in sentences that claim no more than the numbers show."""

from typing import Any

from sweeps.report.parts import (
    channels_apart,
    courses,
    format_interval,
    format_onset,
    other_parts,
    part_ratios,
    parts_coincide,
    settling,
    zero_alone,
)
from sweeps.storage.shape import SEED


def describe(summary: dict[str, Any]) -> list[str]:
    """The findings of one ``onset.json``, one statement per entry, like an abstract."""
    trained = summary["unit"] == SEED
    return [
        in_units(sentence, summary["unit"])
        for sentence in _statements(summary, trained)
    ]


def in_units(text: str, unit: str) -> str:
    """A text that speaks of seeds, in the units that the members differ in."""
    return text.replace("Seed", unit.capitalize()).replace("seed", unit)


def _statements(summary: dict[str, Any], trained: bool) -> list[str]:
    """All statements, in terms of seeds; those on training only if it took place."""
    return [
        _critical(summary),
        *_open_ends(summary),
        *_at_zero(summary),
        *_refinement(summary),
        *other_parts(summary),
        *channels_apart(summary),
        parts_coincide(summary),
        *part_ratios(summary),
        *(courses(summary) if trained else []),
        *_sensitivity(summary),
        *(settling(summary) if trained else []),
        *_post_hoc(summary),
        *_price(summary),
        *_diverged(summary),
    ]


def title(summary: dict[str, Any]) -> str:
    """The critical value in a few words, for the head of a figure."""
    onset, knob = summary["onset"], summary["knob"]
    if zero_alone(summary):
        return f"{summary['router']}: {knob} = 0 alone, {_collapsed_at_zero(summary)}"
    if onset["estimate"] is None:
        where = {
            "all": "at least half collapsed at every value tried",
            "none": "at most half collapsed at every value tried",
            None: "no estimate",
        }[onset["censored"]]
        return f"{summary['router']}: {where}"
    known = f"95 % {format_interval(onset['low'], onset['high'])}"
    known = known if onset["units"] > 1 else "one seed, no interval"
    return f"{summary['router']}: critical {knob} {onset['estimate']:.3g}, {known}"


def _seeds(count: int) -> str:
    return f"{count} seed{'s' * (count != 1)}"


def _critical(summary: dict[str, Any]) -> str:
    """The critical value with its interval and the number of seeds, or why not."""
    onset, knob = summary["onset"], summary["knob"]
    if zero_alone(summary):
        fraction = summary["curve"][0]["fraction"]
        return (
            f"No onset: {knob} = 0 is the only value, and one value has no onset. At "
            f"0, {_collapsed_at_zero(summary)} (exact 95 % interval of the fraction "
            f"{fraction['low']:.2g} to {fraction['high']:.2g})."
        )
    seeds = _seeds(onset["units"])
    if onset["censored"]:
        share = {"all": "at least half", "none": "at most half"}[onset["censored"]]
        text = (
            f"No critical {knob} in the range tried: at every value above 0, {share} "
            f"of {seeds} collapsed. "
        )
        if onset["undecided"]:
            places = ", ".join(f"{value:.3g}" for value in onset["undecided"])
            return (
                f"{text}This number of seeds does not decide on which side of one half "
                f"the collapse probability is at {knob} = {places}."
            )
        return f"{text}The seeds decide this at each of the values."
    if onset["estimate"] is None:
        return f"No onset: all members above {knob} = 0 diverged."
    side = "below" if onset["direction"] == "falling" else "above"
    text = f"Routing collapses {side} a critical {knob} of {onset['estimate']:.3g} "
    if onset["units"] < 2:
        return f"{text}(one seed, so there is no interval)."
    ends = format_interval(onset["low"], onset["high"])
    text += f"(95 % interval {ends}, {seeds})."
    if len(onset["crossings"]) > 1:
        places = ", ".join(map(_crossing, onset["crossings"]))
        text += f" The collapse fraction crosses one half more than once: at {places}."
    return text


def _crossing(crossing: dict[str, Any]) -> str:
    ends = format_interval(crossing["low"], crossing["high"])
    return f"{crossing['value']:.3g} ({crossing['direction']}, {ends})"


def _open_ends(summary: dict[str, Any]) -> list[str]:
    """What an open end of the interval means."""
    onset = summary["onset"]
    if onset["estimate"] is None or onset["units"] < 2:
        return []
    names = {"low": "lower", "high": "upper"}
    ends = [name for end, name in names.items() if onset[end] is None]
    if not ends:
        return []
    place = f"{ends[0]} end" if len(ends) == 1 else f"{' and '.join(ends)} ends"
    return [
        f"The interval is open at its {place}: {_seeds(onset['units'])} do not exclude "
        "that the collapse probability stays on one side of one half there."
    ]


def _at_zero(summary: dict[str, Any]) -> list[str]:
    """How many members are collapsed at 0, which the estimate leaves out."""
    if summary["curve"][0]["value"] != 0 or zero_alone(summary):
        return []
    return [
        f"At {summary['knob']} = 0, {_collapsed_at_zero(summary)}; this value does not "
        "enter the estimate."
    ]


def _collapsed_at_zero(summary: dict[str, Any]) -> str:
    zero = summary["curve"][0]
    alive = zero["members"] - zero["diverged"]
    return f"{zero['collapsed']} of {_seeds(alive)} collapsed"


def _refinement(summary: dict[str, Any]) -> list[str]:
    """How much narrower the interval became, why refinement stopped, what limits it."""
    course, knob = summary["refinement"], summary["knob"]
    if course is None:
        return []
    first, *later = course["rounds"]
    count = sum(len(one["values"]) for one in later)
    why = {
        "rounds": "all rounds were used",
        "width": "the interval is as narrow as requested",
        "seeds": "only seed-to-seed variation remains",
        "open": "an end of the interval is open, which values inside cannot close",
        "censored": "there is no onset in the range tried",
    }[course["stopped"]]
    if not later:
        return [f"Not refined: {why}."]
    before = format_interval(first["low"], first["high"])
    after = format_interval(later[-1]["low"], later[-1]["high"])
    text = (
        f"Refinement: {len(later)} round{'s' * (len(later) > 1)} with {count} new "
        f"values changed the interval from {before} to {after}. There was no further "
        f"round because {why}."
    )
    if course["floor"]:
        low, high = (f"{end:.4g}" for end in course["floor"])
        place = f"from {low} to {high}" if low != high else f"at {low}"
        text += (
            f" The seeds are undecided {place}: further values of {knob} cannot make "
            "this part of the interval narrower, more seeds can."
        )
    return [text]


def _sensitivity(summary: dict[str, Any]) -> list[str]:
    """How far the critical value depends on the threshold of the criterion."""
    table = summary["sensitivity"]
    if all(row["estimate"] is None for row in table):
        return []
    told = ", ".join(map(_at_threshold, table))
    return [
        f"Sensitivity: the critical {summary['knob']} depends on the threshold for "
        f"collapse as follows: {told}."
    ]


def _at_threshold(row: dict[str, Any]) -> str:
    where = f"at {row['threshold']:g}"
    if row["estimate"] is not None:
        return f"{row['estimate']:.3g} {where}"
    why = {
        "all": " (at least half collapsed)",
        "none": " (at most half collapsed)",
        None: "",
    }[row["censored"]]
    return f"none {where}{why}"


def _post_hoc(summary: dict[str, Any]) -> list[str]:
    """Whether the knob acts on learning or on routing that was already learned."""
    found, knob = summary["post_hoc"], summary["knob"]
    if found is None:
        return []
    onset = found["onset"]
    exists = onset["estimate"] is not None
    critical = "the critical value is" if exists else "there is no critical value:"
    verdict = {
        "coincide": "This coincides with",
        "differ": "This differs from",
        "undecided": "It is undecided whether this differs from",
    }[found["against_trained"]]
    return [
        f"With {knob} applied post hoc, to networks trained at its neutral value, "
        f"{critical} {format_onset(onset)}. {verdict} the onset in training."
    ]


def _price(summary: dict[str, Any]) -> list[str]:
    """The range of the held-out loss along the axis."""
    losses = [
        (point["loss"]["median"], point["value"])
        for point in summary["curve"]
        if point["loss"]["median"] is not None
    ]
    if len(losses) < 2:
        return []
    best, worst = min(losses), max(losses)
    return [
        f"Held-out loss (median over seeds) ranges from {best[0]:.3f} nats at "
        f"{summary['knob']} = {best[1]:g} to {worst[0]:.3f} nats at {worst[1]:g}."
    ]


def _diverged(summary: dict[str, Any]) -> list[str]:
    count = sum(point["diverged"] for point in summary["curve"])
    if not count:
        return []
    members = "1 member" if count == 1 else f"{count} members"
    return [
        f"{members} diverged (non-finite values); diverged members are frozen and "
        "excluded from all numbers above."
    ]
