"""The range of every numeric key of ``configs/default.py``, in one table.

A config is checked against the table before anything is built from it. The upper ends
are far beyond any sweep that makes sense, but finite, so that a slip of the hand such
as ``1e30`` is named at once. Whether a combination of large settings fits this machine
is a question of its own: `sweeps.design.memory`.
"""

import math
import operator
from collections.abc import Iterator
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from sweeps.errors import BadInput


class Range(NamedTuple):
    """The values that a key may have.

    Attributes:
      low: Least value.
      high: Greatest value.
      whole: Whether the value must be a whole number.
      above: Whether the value must exceed ``low``.
      below: Whether the value must be less than ``high``.
      many: Number of values of a key that has a tuple, otherwise 0.
      hint: What else the reader of a refusal should know, or "".
    """

    low: float
    high: float
    whole: bool = False
    above: bool = False
    below: bool = False
    many: int = 0
    hint: str = ""

    def holds(self, value: Any) -> bool:
        """Whether a single number lies in the range; NaN never does."""
        if self.whole and isinstance(value, float) and not value.is_integer():
            return False
        over = value > self.low if self.above else value >= self.low
        under = value < self.high if self.below else value <= self.high
        return bool(over and under)

    def words(self) -> str:
        """The range in words, to follow "must be"."""
        low = (
            f"above {_shown(self.low)}"
            if self.above
            else f"at least {_shown(self.low)}"
        )
        high = (
            f"below {_shown(self.high)}"
            if self.below
            else f"at most {_shown(self.high)}"
        )
        kind = "a whole number, " if self.whole else ""
        each = f"{self.many} numbers, each " if self.many else ""
        return f"{each}{kind}{low} and {high}{self.hint}"


def _whole(low: float, high: float, hint: str = "") -> Range:
    return Range(low, high, whole=True, hint=hint)


SEED = _whole(0, 2**32 - 1)  # larger seeds would wrap around
SCALE = Range(0, 100, above=True)  # of initial weights
KNOB = Range(-1e6, 1e6)  # routers declare narrower ranges

RANGES: dict[str, Range] = {
    "seed": SEED,
    "sweep.low": Range(1e-30, 1e6, hint=" (sweep.zero adds 0)"),
    "sweep.high": Range(1e-30, 1e6),
    "sweep.num": _whole(0, 10_000),
    "sweep.seeds": _whole(1, 100_000),
    "sweep.data_seeds": _whole(1, 10_000),
    "sweep.devices": _whole(0, 100_000),
    "sweep.data": _whole(1, 100_000),
    "sweep.width": _whole(0, 1_000_000, " (0: chosen by timing)"),
    "sweep.refine.rounds": _whole(0, 100),
    "sweep.refine.num": _whole(1, 10_000),
    "sweep.refine.width": Range(0, 100, above=True),
    "depth.block": _whole(1, 1_000),
    "depth.streams": _whole(1, 1_000),
    "knobs.token.brake": KNOB,
    "knobs.token.content": KNOB,
    "knobs.token.norm_awareness": KNOB,
    "knobs.token.key_normalization": KNOB,
    "knobs.token.null_sink": KNOB,
    "knobs.token.selectivity": KNOB,
    "knobs.token.selectivity_step": KNOB,
    "knobs.token.selectivity_write": KNOB,
    "knobs.token.selectivity_read": KNOB,
    "knobs.depth.brake": KNOB,
    "knobs.depth.content": KNOB,
    "knobs.depth.key_normalization": KNOB,
    "knobs.depth.null_sink": KNOB,
    "model.layers": _whole(1, 256),
    "model.width": _whole(1, 65_536),
    "model.heads": _whole(1, 4_096),
    "model.mlp_ratio": _whole(0, 256, " (0: no MLP)"),
    "model.init.embedding": SCALE,
    "model.init.router": SCALE,
    "model.init.mlp": SCALE,
    "model.init.output": SCALE,
    "task.symbols": _whole(2, 1_114_112),
    "task.triggers": _whole(1, 1_114_111),
    "task.trigger_mass": Range(0, 1, below=True),
    "task.concentration": Range(0, 1e6, above=True),
    "task.seed": SEED,
    "task.nodes": _whole(2, 1_000_000),
    "task.within": Range(0, 1),
    "task.across": Range(0, 1),
    "task.signal": Range(-1e6, 1e6),
    "task.noise": Range(0, 1e6),
    "task.neighbours": _whole(1, 1_000_000),
    "task.hops": _whole(1, 1_000),
    "task.train_share": Range(0, 1),
    "train.steps": _whole(1, 100_000_000),
    "train.batch": _whole(1, 1_000_000),
    "train.length": _whole(1, 10_000_000),
    "train.learning_rate": Range(0, 1_000, above=True),
    "train.betas": Range(0, 1, below=True, many=2),
    "train.weight_decay": Range(0, 1_000),
    "train.clip": Range(0, 1e30, hint=" (0: no clipping)"),
    "train.warmup": _whole(0, 100_000_000),  # and at most train.steps, see below
    "train.keep_every": _whole(0, 100_000_000, " (0: none but the last)"),
    "eval.points": _whole(1, 10_000),
    "eval.sequences": _whole(1, 1_000_000),
    "eval.diagnosed": _whole(0, 1_000_000, " (0: no diagnosis)"),
    "criterion.threshold": Range(0, 1e6, above=True),
    "criterion.quantile": Range(0, 1, above=True, below=True),
    "criterion.margin": Range(0, 1, below=True),
}
"""The range of every key whose value is a number, or a tuple of numbers."""

MOST_MEMBERS = 1_000_000
"""Largest number of members of one sweep."""


def check_ranges(config: ConfigDict) -> None:
    """Checks every numeric setting, and the number of members that they make.

    Raises:
      BadInput: a setting is out of range; the message names the first one, its value
        and its range.
    """
    for key, value in flat_items(config):
        allowed = RANGES.get(key)
        if allowed is None and key.startswith("knobs."):
            allowed = KNOB  # a knob of a router that is not ours
        if allowed is not None and value is not None:
            check_range(key, value, allowed)
    sweep, train = config.sweep, config.train
    if train.warmup > train.steps:  # the learning rate would never be reached
        raise BadInput(
            f"train.warmup={train.warmup}: must be at most train.steps={train.steps}"
        )
    values = sweep.num + bool(sweep.zero) + sweep.refine.rounds * sweep.refine.num
    members = values * sweep.seeds * sweep.data_seeds
    if members > MOST_MEMBERS:
        raise BadInput(
            f"sweep.seeds={sweep.seeds}, sweep.data_seeds={sweep.data_seeds}: with "
            f"{values} values these are {members:,} members; must be at most "
            f"{MOST_MEMBERS:,}"
        )


def check_range(key: str, value: Any, allowed: Range) -> None:
    """Checks one setting, which may be a tuple of numbers.

    Raises:
      BadInput: it is no number, or not in the range.
    """
    parts = value if isinstance(value, tuple | list) else (value,)
    count = len(parts) if isinstance(value, tuple | list) else 0
    numbers = all(_is_number(part) for part in parts)
    if not numbers or count != allowed.many or not all(map(allowed.holds, parts)):
        text = f"{value!r}" if len(repr(value)) < 60 else f"{repr(value)[:56]} ..."
        raise BadInput(f"{key}={text}: must be {allowed.words()}")


def flat_items(config: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of a config with its blocks, as on the command line, and its value."""
    for key in config:
        value = config[key]
        name = f"{path}{key}"
        if isinstance(value, ConfigDict):
            yield from flat_items(value, f"{name}.")
        else:
            yield name, value


def _is_number(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    try:
        operator.index(value)
    except TypeError:
        return isinstance(value, float) and not math.isnan(value)
    return getattr(value, "ndim", 0) == 0


def _shown(bound: float) -> str:
    whole = float(bound).is_integer() and abs(bound) < 1e12
    return f"{int(bound):,}" if whole else f"{bound:g}"
