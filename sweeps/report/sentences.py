"""What was found, in sentences that claim no more than the numbers do."""

import math
from typing import Any

from sweeps.inference.criterion import NULLS, UNTRAINED

PART_NAMES = {
    "concentration": "concentration",
    "effective_rank": "effective rank",
    "key_norm_cv": "key norms",
}


def describe(summary: dict[str, Any]) -> list[str]:
    """The findings of one ``onset.json``, one sentence an entry."""
    return [
        _critical(summary),
        *_asymptote(summary),
        *_open_ends(summary),
        *_refinement(summary),
        *_other_parts(summary),
        parts_coincide(summary),
        *_sensitivity(summary),
        *_post_hoc(summary),
        *_price(summary),
        *_diverged(summary),
    ]


def interval(low: float | None, high: float | None) -> str:
    """An interval with open ends spelled out, in digits that tell its ends apart."""
    digits = 3
    if low and high and high > low:
        digits = max(3, 1 + math.ceil(-math.log10(math.log(high / low))))
    ends = [f"{end:.{digits}g}" if end is not None else "open" for end in (low, high)]
    return f"[{ends[0]}, {ends[1]}]"


def _critical(summary: dict[str, Any]) -> str:
    onset, knob = summary["onset"], summary["knob"]
    units = f"{onset['units']} seed" + "s" * (onset["units"] != 1)
    if onset["censored"]:
        share, at = {
            "all": ("at least half", f"every {knob} tried"),
            "none": ("no more than half", f"every {knob} tried"),
        }[onset["censored"]]
        if onset["undecided"]:
            places = ", ".join(f"{value:.3g}" for value in onset["undecided"])
            doubt = f"; so few seeds do not decide the side of one half at {places}."
        else:
            doubt = "; the seeds decide this at each of them."
        return f"Collapsed in {share} of {units} at {at}: no onset in range{doubt}"
    if onset["estimate"] is None:
        return f"No onset: no member above {knob} = 0 finished (all diverged)."
    side = "below" if onset["direction"] == "falling" else "above"
    text = f"Routing collapses {side} a critical {knob} of {onset['estimate']:.3g}, "
    if onset["units"] < 2:
        return f"{text}from one seed, which carries no spread: there is no interval."
    text += f"95 % interval {interval(onset['low'], onset['high'])} over {units}."
    if len(onset["crossings"]) > 1:
        places = ", ".join(
            f"{c['value']:.3g} ({c['direction']}, {interval(c['low'], c['high'])})"
            for c in onset["crossings"]
        )
        text += f" The collapse fraction crosses one half more than once: {places}."
    return text


def _open_ends(summary: dict[str, Any]) -> list[str]:
    onset = summary["onset"]
    if onset["estimate"] is None or onset["units"] < 2:
        return []
    ends = [end for end in ("low", "high") if onset[end] is None]
    if not ends:
        return []
    return [
        f"The interval is open at its {' and '.join(ends)} end: so few seeds do not "
        "exclude that collapse stays on one side of one half there."
    ]


def _refinement(summary: dict[str, Any]) -> list[str]:
    """How much narrower the interval got, why it stopped, and what limits it."""
    course, knob = summary["refinement"], summary["knob"]
    if course is None:
        return []
    first, *later = course["rounds"]
    count = sum(len(one["values"]) for one in later)
    why = {
        "rounds": "all rounds are spent",
        "width": "it is as narrow as asked",
        "seeds": "what is left is the spread over seeds",
        "open": "an end of the interval is open, which values inside cannot close",
        "censored": "there is no onset in range",
    }[course["stopped"]]
    if not later:
        return [f"Not refined: {why}."]
    last = later[-1]
    text = (
        f"Refinement: {len(later)} round{'s' * (len(later) > 1)} of {count} values in "
        f"all took the interval from {interval(first['low'], first['high'])} to "
        f"{interval(last['low'], last['high'])}; it stopped because {why}."
    )
    if course["floor"]:
        low, high = (f"{end:.4g}" for end in course["floor"])
        place = f"from {low} to {high}" if low != high else f"at {low}"
        text += (
            f" The seeds do not decide {place}: values of {knob} cannot narrow that, "
            "more seeds can."
        )
    return [text]


def _asymptote(summary: dict[str, Any]) -> list[str]:
    zero = [point for point in summary["curve"] if point["value"] == 0]
    if not zero:
        return []
    alive = zero[0]["members"] - zero[0]["diverged"]
    return [
        f"At {summary['knob']} = 0 {zero[0]['collapsed']} of {alive} are collapsed "
        "(not part of the fit)."
    ]


def _other_parts(summary: dict[str, Any]) -> list[str]:
    """Rank and key norms at the most collapsed value, beside their nulls.

    Nulls made by knobs leave the keys of the first layer as they are, so key norms
    have one null to be compared with, the untrained network.
    """
    point = max(summary["curve"], key=lambda p: (p["collapsed"], -p["value"]))
    parts = (
        ("effective_rank", "effective rank of the routed output", "low", NULLS),
        ("key_norm_cv", "variation of key norms", "high", (UNTRAINED,)),
    )
    sentences = []
    for name, label, side, nulls in parts:
        part = point.get(name)
        if not part or part["median"] is None:
            continue
        bounds = {null: part["nulls"][null][side] for null in nulls}
        nearest = (min if side == "low" else max)(bounds, key=lambda n: bounds[n])
        bound = bounds[nearest]
        beyond = part["median"] < bound if side == "low" else part["median"] > bound
        sentences.append(
            f"At {summary['knob']} = {point['value']:g} the {label} is "
            f"{part['median']:.3g} (quartiles {part['low']:.3g} to "
            f"{part['high']:.3g}), {'' if beyond else 'not '}beyond the extreme "
            f"quantile of its {nearest.replace('_', ' ')} null, {bound:.3g}."
        )
    return sentences


def parts_coincide(summary: dict[str, Any]) -> str:
    """One line: whether the signature's three parts set in at the same place."""
    parts = summary["parts"]
    told = [
        f"{PART_NAMES[name]} {where(parts[name]['onset'])}"
        for name in PART_NAMES
        if name in parts
    ]
    told += [f"{PART_NAMES[name]} not defined" for name in parts["not_defined"]]
    verdict = {
        "coincide": "The parts of the signature coincide",
        "differ": "The parts of the signature do not coincide",
        "undecided": "Whether the parts of the signature coincide is not decided",
    }[parts["verdict"]]
    return f"{verdict}: {'; '.join(told)}."


def _sensitivity(summary: dict[str, Any]) -> list[str]:
    """How far the critical value depends on the threshold."""
    table = summary["sensitivity"]
    if all(row["estimate"] is None for row in table):
        return []
    told = ", ".join(
        f"{where({**row, 'undecided': []}).split(' [')[0]} (threshold "
        f"{row['threshold']:g})"
        for row in table
    )
    return [f"Critical {summary['knob']} at other thresholds: {told}."]


def _post_hoc(summary: dict[str, Any]) -> list[str]:
    """Whether the knob acts on learning or on routing that is already there."""
    found, knob = summary["post_hoc"], summary["knob"]
    if found is None:
        return []
    verdict = {
        "coincide": "coincides with",
        "differ": "differs from",
        "undecided": "is not decidedly other than",
    }[found["against_trained"]]
    return [
        f"Critical {knob} put on afterwards, on networks trained at its neutral value: "
        f"{where(found['onset'])}; this {verdict} the trained one."
    ]


def where(onset: dict[str, Any]) -> str:
    """An onset in a few words: estimate and interval, or how it is censored."""
    if onset["estimate"] is not None:
        return f"{onset['estimate']:.3g} {interval(onset['low'], onset['high'])}"
    places = {"all": "at every value", "none": "at no value", None: "unknown"}
    doubt = " (not firm)" if onset["censored"] and onset["undecided"] else ""
    return places[onset["censored"]] + doubt


def _price(summary: dict[str, Any]) -> list[str]:
    losses = [
        (point["loss"]["median"], point["value"])
        for point in summary["curve"]
        if point["loss"]["median"] is not None
    ]
    if len(losses) < 2:
        return []
    best, worst = min(losses), max(losses)
    return [
        f"Held-out loss runs from {best[0]:.3f} nats (at {best[1]:g}) to "
        f"{worst[0]:.3f} (at {worst[1]:g})."
    ]


def _diverged(summary: dict[str, Any]) -> list[str]:
    count = sum(point["diverged"] for point in summary["curve"])
    if not count:
        return []
    return [f"{count} members became non-finite, were frozen and are left out."]
