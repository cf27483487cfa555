"""Checks that a config has the keys of ``configs/default.py``, of the same types.

A router's own settings and knobs are not listed there. They are checked against the
router's dataclass and its declared knobs, in `sweeps.design.parse`; here their values
must only be plain, so that the record of the sweep can hold them.
"""

import difflib
import math
import re
from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from routers import find_router
from sweeps.errors import BadInput, printable

OWN = ("router", "depth", "knobs.token", "knobs.depth")
"""Blocks that can have keys of a router besides the keys of the defaults."""
REPLACED = ("router", "knobs.token", "knobs.depth")
"""Blocks of which a config can leave keys out, except for a name."""
MOST_TEXT = 4096
"""Largest number of characters of a setting."""
MOST_NUMBER = 1_000_000
"""Largest number that a router's own setting may be."""
PLAIN_TYPES = (bool, int, float, str)
OVERRIDE = re.compile(
    r"--?(?:no)?config\.(router|depth|knobs\.token|knobs\.depth)\.(\w+)"
)


def check_keys(config: ConfigDict, defaults: ConfigDict, path: str = "") -> None:
    """Checks names and types of all keys.

    Raises:
      BadInput: a key is missing, unknown, or has a value of another type; the message
        starts with the key.
    """
    block = path.rstrip(".")
    for key in defaults:
        if key not in config and (block not in REPLACED or key == "name"):
            raise BadInput(
                f"{path}{key}: is missing; must start from configs/default.py"
            )
    for key in config:
        name = f"{path}{key}"
        if key not in defaults:
            if block not in OWN:
                raise BadInput(f"{name}: no such config key{closest(key, defaults)}")
            _check_plain(name, config[key])
        elif isinstance(defaults[key], ConfigDict):
            if not isinstance(config[key], ConfigDict):
                raise BadInput(f"{name}={_short(config[key])}: must be a block of keys")
            check_keys(config[key], defaults[key], f"{name}.")
        elif block == "router" and key != "name":
            _check_plain(name, config[key])  # another router may have the same name
        else:
            check_type(name, config[key], defaults[key])


def check_type(name: str, value: Any, default: Any) -> None:
    """Checks that a value has the type of a default.

    Raises:
      BadInput: it has not, or JSON cannot hold it.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if default is None:  # a placeholder for a number
        fits, wanted = value is None or number, "a number, or None"
    elif isinstance(default, bool):
        fits, wanted = isinstance(value, bool), "True or False"
    elif isinstance(default, int):
        fits, wanted = isinstance(value, int) and number, "a whole number"
    elif isinstance(default, float):
        fits, wanted = number, "a number"
    elif isinstance(default, str):
        fits, wanted = isinstance(value, str), "a text"
    else:
        fits, wanted = isinstance(value, tuple | list), "a tuple of numbers"
    if not fits:
        raise BadInput(f"{name}={_short(value)}: must be {wanted}")
    _check_plain(name, value)


def _check_plain(name: str, value: Any) -> None:
    """Checks that a value is what a config file can say and JSON can hold."""
    parts = value if isinstance(value, tuple | list) else (value,)
    for part in parts:
        if part is not None and type(part) not in PLAIN_TYPES:
            raise BadInput(
                f"{name}={_short(value)}: must be a number, a text, True, False or a "
                f"tuple of these, not {type(part).__name__}"
            )
        if isinstance(part, float) and not math.isfinite(part):
            raise BadInput(f"{name}={part}: must be a finite number")
        if isinstance(part, int) and abs(part) > 2**63 - 1:
            raise BadInput(f"{name}={_short(part)}: must be below 2^63")
        if isinstance(part, str):
            _check_text(name, part)
    if len(parts) > MOST_TEXT:
        raise BadInput(f"{name}: must have at most {MOST_TEXT} parts")


def _check_text(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadInput(f"{name}={text!r}: must be UTF-8") from None
    if len(text) > MOST_TEXT or printable(text) != text:
        raise BadInput(
            f"{name}={_short(text)}: must be one line of at most {MOST_TEXT} "
            "characters, without control characters"
        )


def check_own_setting(name: str, value: Any, default: Any) -> None:
    """Checks a router's setting against the default of the router's dataclass.

    Raises:
      BadInput: it has another type, or is a number that nothing could mean.
    """
    if isinstance(default, PLAIN_TYPES):
        check_type(name, value, default)
    number = isinstance(value, int | float)
    if number and abs(value) > MOST_NUMBER:
        raise BadInput(
            f"{name}={_short(value)}: must be between -{MOST_NUMBER:,} and "
            f"{MOST_NUMBER:,}"
        )


def add_own_keys(config: ConfigDict, arguments: Sequence[str]) -> None:
    """Adds the router's keys that a command line sets and a config does not list.

    Knobs are added as placeholders, settings with the default of the router's
    dataclass. Keys that the router does not have are left to be refused.

    Args:
      config: Complete config, not locked; changed in place.
      arguments: The command line.
    """
    for argument in arguments:
        found = OVERRIDE.match(argument)
        if not found:
            continue
        block, key = found.groups()
        keys = config.router if block == "router" else config.depth
        if block.startswith("knobs"):
            keys = config.knobs[block.partition(".")[2]]
        if key in keys:
            continue
        value = _own_key(_router_of(config, block, arguments), block, key)
        if value is not None:
            keys[key] = value


def _own_key(name: str, block: str, key: str) -> Any:
    """A placeholder for a knob, the default of a setting; None if there is no such."""
    try:
        router, settings = find_router(name)
        if block.startswith("knobs"):
            return placeholder(float) if key in router.knobs else None
        default = getattr(settings(), key, None)
    except (ValueError, TypeError, AttributeError):  # refused when the router is read
        return None
    return default if isinstance(default, (*PLAIN_TYPES, tuple)) else None


def _router_of(config: ConfigDict, block: str, arguments: Sequence[str]) -> str:
    slot = "depth" if block in ("depth", "knobs.depth") else "router"
    for argument in reversed(arguments):
        flag, _, value = argument.lstrip("-").partition("=")
        if flag == f"config.{slot}.name":
            return value
    name = config[slot].name
    return name if isinstance(name, str) else ""


def closest(name: str, known: Any) -> str:
    """A hint at the most similar name, or ""."""
    similar = difflib.get_close_matches(str(name), [str(one) for one in known], n=1)
    return f"; did you mean {similar[0]!r}?" if similar else ""


def _short(value: Any) -> str:
    try:
        text = " ".join(repr(value).split())
    except Exception:  # whole numbers of thousands of digits, objects of others
        text = type(value).__name__
    return text if len(text) <= 60 else f"{text[:56]} ..."
