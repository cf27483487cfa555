"""Reads a config file: runs it, and checks that what it returns is a config.

A config file is Python, so it can fail in as many ways as a program. Each of them is
one line that names the file and, where there is one, the line in it.
"""

import functools
import re
import sys
import types
import warnings
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict, FrozenConfigDict

from sweeps.design.config_keys import check_keys
from sweeps.design.ranges import check_ranges
from sweeps.errors import BadInput
from train.tasks.files import local_path, read_regular

MOST_BYTES = 1_000_000
"""Largest number of bytes of a config file."""
MODULE = "config_config"
"""Name of the module as which every config file runs."""
DEFAULTS = Path(__file__).parents[2] / "configs/default.py"


def load_config(given: str) -> ConfigDict:
    """Runs a config file and checks its config.

    Args:
      given: ``PATH`` or ``PATH:PRESET``, as on the command line.

    Raises:
      BadInput: the file is no config file, raises, or returns no complete config.
    """
    path, preset = _split(given)
    try:
        source = read_regular(path, MOST_BYTES)
    except ValueError as error:
        raise BadInput(f"--config={given}: {error}") from None
    if path.resolve() == DEFAULTS.resolve():
        raise BadInput(
            f"--config={given}: must be an experiment such as configs/attention.py, "
            "because the defaults alone are not one"
        )
    config = _run(given, path, source, preset)
    try:
        config = ConfigDict(config) if isinstance(config, FrozenConfigDict) else config
        with config.unlocked(), config.ignore_type():
            _make_plain(config)
        check_keys(config, defaults())
    except BadInput as error:
        raise BadInput(
            f"--config={given}: {_place(source, str(error))}{error}"
        ) from None
    except Exception as error:  # references of a config may fail when they are read
        raise BadInput(f"--config={given}: {_reason(error)}") from None
    return config


def check_config(config: ConfigDict) -> None:
    """Checks a config after settings of the command line entered it.

    Raises:
      BadInput: a key is missing or unknown, or a value has the wrong type or is out of
        range.
    """
    check_keys(config, defaults())
    check_ranges(config)


@functools.cache
def defaults() -> ConfigDict:
    """The config of ``configs/default.py``; not to be changed."""
    return _run(str(DEFAULTS), DEFAULTS, DEFAULTS.read_bytes(), ())


def _split(given: str) -> tuple[Path, tuple[str, ...]]:
    """Path and preset; a colon may be part of the path."""
    try:
        whole = local_path(given)
        if whole.exists() or ":" not in given.rpartition("/")[2]:
            return whole, ()
        path, _, preset = given.rpartition(":")
        return local_path(path), (preset,)
    except (ValueError, OSError) as error:
        raise BadInput(f"--config={given}: {error}") from None


def _run(given: str, path: Path, source: bytes, preset: tuple[str, ...]) -> ConfigDict:
    module = types.ModuleType(MODULE)
    module.__file__ = str(path)
    saved = sys.modules.get(MODULE)
    sys.modules[MODULE] = module  # as dataclasses in it expect
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code = compile(source, str(path), "exec")
        exec(code, module.__dict__)
        get_config = getattr(module, "get_config", None)
        if not callable(get_config):
            raise BadInput(f"--config={given}: the file has no get_config()")
        config = get_config(*preset)
    except BadInput:
        raise
    except (Exception, SystemExit) as error:
        line = _line(error, str(path))
        raise BadInput(f"--config={given}: {line}{_reason(error)}") from None
    finally:
        if saved is None:
            sys.modules.pop(MODULE, None)
        else:
            sys.modules[MODULE] = saved
    if not isinstance(config, ConfigDict):
        raise BadInput(
            f"--config={given}: get_config() must return a ConfigDict, not "
            f"{type(config).__name__}"
        )
    return config


def _line(error: BaseException, path: str) -> str:
    """The last line of the file that was running, as ``line N: ``."""
    number = error.lineno if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            number = trace.tb_lineno
        trace = trace.tb_next
    return f"line {number}: " if number else ""


def _reason(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"must not end the program, but calls sys.exit({error.code!r})"
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    first = " ".join((said.splitlines() or [""])[0].split())[:300]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _place(source: bytes, message: str) -> str:
    """The line of the source that names the key at the start of a message."""
    found = re.match(r"[\w.]*?(\w+)(?=[:=])", message)
    if found:
        named = re.compile(rb"\b%b\b" % found.group(1).encode())
        for number, line in enumerate(source.splitlines(), start=1):
            code = line.partition(b"#")[0]
            if named.search(code):
                return f"line {number}: "
    return ""


def _make_plain(config: ConfigDict) -> None:
    """Puts Python's numbers in the place of NumPy's scalars, which JSON cannot hold."""
    for key in config:
        value = config[key]
        if isinstance(value, ConfigDict):
            _make_plain(value)
        elif isinstance(value, np.generic):
            config[key] = value.item()
