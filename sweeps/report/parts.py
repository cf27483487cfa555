"""Sentences about the parts of the signature, and how an onset is written."""

import math
from typing import Any

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


def other_parts(summary: dict[str, Any]) -> list[str]:
    """The measures of the other parts at the most collapsed value, against their nulls.

    Nulls made by knobs leave the keys and values of the first layer unchanged, so the
    untrained network is the only null for norms.
    """
    point = max(summary["curve"], key=lambda p: (p["collapsed"], -p["value"]))
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
        bounds = {null: part["nulls"][null][side] for null in nulls or (UNTRAINED,)}
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


def parts_coincide(summary: dict[str, Any]) -> str:
    """Whether the three parts of the signature set in at the same value."""
    factor = f"a factor of {TOLERANCE:g}"
    parts = summary["parts"]
    told = [
        f"{label} {_at(parts[name]['onset'])} {format_onset(parts[name]['onset'])}"
        for name, label in PART_NAMES.items()
        if name in parts
    ]
    told += [f"{PART_NAMES[name]} not defined" for name in parts["not_defined"]]
    verdict = {
        "coincide": f"The parts of the signature coincide within {factor}",
        "differ": f"The parts of the signature differ by more than {factor}, or in "
        "direction",
        "undecided": "It is undecided whether the parts of the signature coincide "
        f"within {factor}",
    }[parts["verdict"]]
    return f"{verdict}: {'; '.join(told)}."


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
