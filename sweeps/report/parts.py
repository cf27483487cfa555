"""Sentences about the parts of the signature, and how an onset is written."""

import math
from typing import Any

import numpy as np

from routers.signature.concentration import SINK_THRESHOLD
from sweeps.inference.agreement import TOLERANCE
from sweeps.inference.criterion import NULLS, UNTRAINED

PART_NAMES = {
    "concentration": "concentration",
    "rank_ratio": "rank ratio",
    "stratification": "stratification",
}
NULL_NAMES = {
    "uniform": "uniform routing",
    "brake_only": "the brake alone",
    UNTRAINED: "the untrained network",
}


def format_interval(low: float | None, high: float | None) -> str:
    """An interval, with open ends named and enough digits to tell its ends apart."""
    digits = 3
    if low and high and high > low:
        digits = max(3, 1 + math.ceil(-math.log10(math.log(high / low))))
    ends = [f"{end:.{digits}g}" if end is not None else "open" for end in (low, high)]
    return f"[{ends[0]}, {ends[1]}]"


def format_onset(onset: dict[str, Any]) -> str:
    """An onset in a few words: estimate and interval, or how it is censored."""
    if onset["estimate"] is not None:
        return f"{onset['estimate']:.3g} {format_interval(onset['low'], onset['high'])}"
    if onset["censored"] is None:
        return "no estimate"
    share = {"all": "at least half", "none": "at most half"}[onset["censored"]]
    doubt = " (undecided at some values)" if onset["undecided"] else ""
    return f"{share} collapsed throughout{doubt}"


def zero_alone(summary: dict[str, Any]) -> bool:
    """Whether 0 is the only value that was tried; then no part has an onset."""
    return all(point["value"] == 0 for point in summary["curve"])


def other_parts(summary: dict[str, Any]) -> list[str]:
    """The measures of the other parts at the most collapsed value, against their nulls.

    Nulls made by knobs leave the keys and values of the first layer unchanged, so the
    untrained network is the only null for norms.
    """
    point = _most_collapsed(summary)
    quantile = summary["criterion"]["quantile"]
    parts = (
        ("rank_ratio", "rank ratio", NULLS),
        ("hub_key_log_ratio", "logarithm of the hub's key norm over the median", None),
        ("hub_value_log_ratio", "logarithm of its value norm over the median", None),
    )
    sentences = []
    for name, label, nulls in parts:
        part = point.get(name)
        if not part or part["median"] is None:
            continue
        # A hub's key may be longer or shorter than the others.
        low = name != "hub_key_log_ratio" or part["median"] < 0
        side, level = ("low", 1 - quantile) if low else ("high", quantile)
        bounds = {
            null: part["nulls"][null][side]
            for null in nulls or (UNTRAINED,)
            if null in part["nulls"]
        }
        if not bounds:
            continue
        nearest = (min if low else max)(bounds, key=lambda n: bounds[n])
        bound = bounds[nearest]
        beyond = part["median"] < bound if low else part["median"] > bound
        sentences.append(
            f"At {summary['knob']} = {point['value']:g}, the {label} is "
            f"{part['median']:.3g} (quartiles {part['low']:.3g} to "
            f"{part['high']:.3g}), which is {'' if beyond else 'not '}"
            f"{'below' if low else 'above'} the {level:.3g} quantile of "
            f"{NULL_NAMES[nearest]} ({bound:.3g})."
        )
    return sentences


def courses(summary: dict[str, Any]) -> list[str]:
    """When and in which layer each part sets in, at the most collapsed value."""
    point = _most_collapsed(summary)
    seeds, layers = point["members"] - point["diverged"], summary["layers"]
    found = {PART_NAMES[part]: course for part, course in point["parts"].items()}
    shown = {n: c for n, c in found.items() if c["onset_step"]["reached"]}
    if not shown:
        return []
    where = f"{summary['knob']} = {point['value']:g}"
    times = [f"{name} {_first_step(c, seeds)}" for name, c in shown.items()]
    sentences = [
        f"In training, at {where}, medians over seeds of the first measured step: "
        f"{'; '.join(times)}."
    ]
    depths = [
        f"{name} {course['depth']['median_first'] * layers - 1:.3g}"
        for name, course in shown.items()
        if course["depth"] and course["depth"]["median_first"] is not None
    ]
    if layers > 1 and depths:
        sentences.append(
            f"In depth, at {where}, medians over seeds of the first of {layers} layers "
            f"(0 is at the input): {'; '.join(depths)}."
        )
    return sentences


def _first_step(course: dict[str, Any], seeds: int) -> str:
    first = course["onset_step"]
    reached = f"{first['reached']} of {seeds} seeds"
    if first["median"] is None:
        return f"later than the last one ({reached})"
    return f"{first['median']:g} ({reached})"


def _most_collapsed(summary: dict[str, Any]) -> dict[str, Any]:
    """The point at which most members are collapsed, the least one of several."""
    point: dict[str, Any] = max(
        summary["curve"], key=lambda p: (p["collapsed"], -p["value"])
    )
    return point


def channels_apart(summary: dict[str, Any]) -> list[str]:
    """What single channels do where hub mass is that of the mean over channels."""
    point = _most_collapsed(summary)
    channels = point.get("channels")
    if not channels or channels["hub_mass"]["median"] is None:
        return []
    hub, rate = channels["hub_mass"], channels["sink_rate"]
    quantile = summary["criterion"]["quantile"]

    def highest(part: dict[str, Any]) -> float:
        return float(max(null["high"] for null in part["nulls"].values()))

    return [
        f"Hub mass is that of the mean over channels: at {summary['knob']} = "
        f"{point['value']:g}, the largest hub mass of a single channel is "
        f"{hub['median']:.2f} (quartiles {hub['low']:.2f} to {hub['high']:.2f}; "
        f"{quantile:g} quantile of the nulls: at most {highest(hub):.2f}), and that of "
        f"{100 * rate['median']:.0f} % of the channels exceeds {SINK_THRESHOLD:g} "
        f"(nulls: at most {100 * highest(rate):.0f} %)."
    ]


def parts_coincide(summary: dict[str, Any]) -> str:
    """Whether the three parts of the signature set in at the same value."""
    factor = f"a factor of {TOLERANCE:g}"
    parts = summary["parts"]
    if zero_alone(summary):
        return _parts_at_zero(summary)
    told = [
        f"{label} {_at(parts[name]['onset'])} {format_onset(parts[name]['onset'])}"
        for name, label in PART_NAMES.items()
        if name in parts
    ]
    told += [f"{PART_NAMES[name]} not defined" for name in parts["not_defined"]]
    found = [parts[name]["onset"] for name in PART_NAMES if name in parts]
    if all(onset["censored"] == "none" for onset in found):
        return f"No part of the signature has an onset in the range: {'; '.join(told)}."
    verdict = {
        "coincide": f"The parts of the signature coincide within {factor}",
        "differ": f"The parts of the signature differ by more than {factor}, or in "
        "direction",
        "undecided": "It is undecided whether the parts of the signature coincide "
        f"within {factor}",
    }[parts["verdict"]]
    return f"{verdict}: {'; '.join(told)}."


def _parts_at_zero(summary: dict[str, Any]) -> str:
    """How many seeds show each part where 0 is the only value."""
    parts, (point,) = summary["parts"], summary["curve"]
    told = [
        f"{label} in {parts[name]['collapsed'][0]}"
        for name, label in PART_NAMES.items()
        if name in parts
    ]
    told += [f"{PART_NAMES[name]} not defined" for name in parts["not_defined"]]
    return (
        f"At {summary['knob']} = 0, the parts of the signature appear as follows among "
        f"{point['members'] - point['diverged']} seeds: {'; '.join(told)}."
    )


def part_ratios(summary: dict[str, Any]) -> list[str]:
    """How far apart parts set in within the same seed, where the seeds tell."""
    known = [
        f"{PART_NAMES[ratio['of']]} over {PART_NAMES[ratio['to']]} "
        f"{format_interval(ratio['low'], ratio['high'])} ({ratio['verdict']})"
        for ratio in summary["parts"]["ratios"]
        if ratio["low"] is not None or ratio["high"] is not None
    ]
    if not known:
        return []
    return [f"Ratio of two thresholds of the median seed: {'; '.join(known)}."]


def _at(onset: dict[str, Any]) -> str:
    return "with" if onset["estimate"] is None else "at"


def settling(summary: dict[str, Any]) -> list[str]:
    """Where a part still moved at the last step, and how long it may take."""
    found, knob = summary["settling"], summary["knob"]
    if found is None:
        return ["Too few measurements were taken to tell whether training had settled."]
    moving = [
        f"{PART_NAMES[part]} at {knob} = {entry['value']:.3g} by {entry['slope']:+.2g} "
        "per 100 steps" + _steps_left(entry["steps_left"], summary["steps"])
        for part, entries in found.items()
        for entry in entries
    ]
    if not moving:
        return []
    more = f"; and {len(moving) - 4} more" if len(moving) > 4 else ""
    return [f"Not settled at the last step: {'; '.join(moving[:4])}{more}."]


def _steps_left(left: float | None, steps: int) -> str:
    if left is None or left > 10 * steps:
        return ""
    return f" (at this rate at its threshold after about {left:.2g} more steps)"


def shares_of(summary: dict[str, Any], part: str, block: str, key: str) -> np.ndarray:
    """Shares of the finished members ``[values, columns]``; NaN if none finished."""
    rows = []
    for point in summary["curve"]:
        alive = point["members"] - point["diverged"]
        counts = np.asarray(point["parts"][part][block][key], float)
        rows.append(counts / alive if alive else np.full_like(counts, np.nan))
    return np.asarray(rows)
