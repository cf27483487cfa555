"""What is measured: settings, checked, and the model and texts that they name."""

import dataclasses
import re
from typing import NamedTuple

from routers.pretrained import Model, open_model
from sweeps.design.grid import make_axis
from sweeps.design.parse import find_knob
from sweeps.errors import BadInput
from sweeps.measured.hub import locate
from sweeps.measured.windows import SHORTEST, Windows, read_windows

SLOT = "token"
MOST = 10_000
"""Largest number of values and of windows."""
SEEDS = 2**32
"""Number of different seeds."""


@dataclasses.dataclass(frozen=True)
class Asked:
    """What is measured, as given on the command line.

    Attributes:
      model: Folder or file of the published model, or its name on the Hugging Face hub.
      texts: Names of the texts.
      length: Tokens of a window.
      windows: Number of windows.
      knob: Knob that is swept at evaluation, with its slot.
      low: Smallest positive value of the knob.
      high: Largest value.
      num: Number of values from low to high; 0 for the neutral value alone.
      zero: Whether the value 0 is measured too.
      dtype: ``float32`` or ``bfloat16``.
      groups: Number of groups of channels that a router without heads reports.
      reader: Reader of one's own, ``module:function``, or "".
      revision: Branch, tag or commit on the hub, or "".
      seed: Root of everything random.
    """

    model: str
    texts: tuple[str, ...]
    length: int
    windows: int
    knob: str
    low: float
    high: float
    num: int
    zero: bool
    dtype: str
    groups: int
    reader: str
    revision: str
    seed: int


class Opened(NamedTuple):
    """What was asked for, checked and opened; nothing was written so far.

    Attributes:
      asked: The settings, with the commit in place of a revision on the hub.
      model: The model, whose weights are not loaded.
      windows: Windows of the texts.
      values: Values of the knob, increasing.
      neutral: Its neutral value, at which the model is the published one.
    """

    asked: Asked
    model: Model
    windows: Windows
    values: tuple[float, ...]
    neutral: float


def open_asked(asked: Asked) -> Opened:
    """Opens a model and its texts.

    Raises:
      BadInput: a setting, a file or what is in it cannot be used.
    """
    _check(asked)
    path, commit = locate(asked.model, asked.revision)
    try:
        model = open_model(path, asked.dtype, asked.groups, asked.reader or None)
    except (ValueError, OSError, ImportError) as error:
        flag = re.sub(r"^(dtype|groups|reader)=", r"--\1=", str(error))
        raise BadInput(flag) from None
    values, neutral = _values(asked, model)
    windows = read_windows(model, asked.texts, asked.length, asked.windows)
    asked = dataclasses.replace(asked, revision=commit)
    return Opened(asked, model, windows, values, neutral)


def _check(asked: Asked) -> None:
    """Checks what needs no file."""
    texts = len(asked.texts)
    if not texts or len(set(asked.texts)) < texts:
        raise BadInput(
            f"--text={','.join(asked.texts)}: must name at least one text, and none "
            "twice"
        )
    if asked.length < SHORTEST:
        raise BadInput(f"--length={asked.length}: must be at least {SHORTEST}")
    if not 1 <= asked.windows <= MOST or asked.windows % texts:
        raise BadInput(
            f"--windows={asked.windows}: must be a positive multiple of the number of "
            f"texts, {texts}, and at most {MOST}"
        )
    if not 0 <= asked.num <= MOST:
        raise BadInput(f"--num={asked.num}: must be at least 0 and at most {MOST}")
    if not 0 <= asked.seed < SEEDS:
        raise BadInput(f"--seed={asked.seed}: must be at least 0 and below {SEEDS}")


def _values(asked: Asked, model: Model) -> tuple[tuple[float, ...], float]:
    """The values of the knob, and its neutral value."""
    declared = {f"{SLOT}.{name}": knob for name, knob in model.router.knobs.items()}
    knob = find_knob(f"--knob={asked.knob}", asked.knob, declared)
    if not asked.num:
        return (knob.neutral,), knob.neutral
    axis = make_axis(asked.knob, asked.low, asked.high, asked.num, asked.zero, "--")
    if len(set(axis.values)) < len(axis.values):
        raise BadInput(
            f"--num={asked.num}: must leave values that differ in four digits between "
            f"--low={asked.low:g} and --high={asked.high:g}"
        )
    for value in axis.values:
        if not knob.low <= value <= knob.high:
            raise BadInput(
                f"--knob={asked.knob}: the value {value:g} must be between "
                f"{knob.low:g} and {knob.high:g} ({knob.meaning})"
            )
    return axis.values, knob.neutral
