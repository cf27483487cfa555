"""Paths from the command line, which mean one thing wherever they are used.

A path is normalised and checked once, here. Libraries further down would disagree about
it: some expand ``~`` and others do not, and a URL such as ``gs://bucket`` would become
a local folder ``gs:`` without a word.
"""

import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

from sweeps.errors import BadInput, printable
from sweeps.storage.files import MANIFEST

MOST_NAME, MOST_PATH = 255, 4000
"""Largest number of bytes of one name and of a path, as on Linux."""
URL = re.compile(r"[A-Za-z][\w+.-]*://", flags=re.ASCII)
FIGURES = (".png", ".pdf", ".svg")
"""Endings of the figures that can be drawn."""


def user_path(flag: str, given: str) -> Path:
    """A path as a user gave it, with ``~`` expanded.

    Args:
      flag: Name of the flag, for messages; "" where it is an argument.
      given: Its value.

    Raises:
      BadInput: it is empty, a URL or no name that a file can have.
    """
    check_name(flag, given)
    path = os.path.expanduser(given)
    if path.startswith("~"):
        raise BadInput(
            f"{_named(flag, given)}: there is no such home folder; write ./{given}"
        )
    return Path(path)


def check_name(flag: str, given: str) -> None:
    """Checks that a file could have this name, on this machine or on another.

    Raises:
      BadInput: it could not.
    """
    shown = printable(given)
    if not given.strip():
        raise BadInput(f"{_named(flag, shown)}: must be a path")
    if URL.match(given):
        raise BadInput(
            f"{_named(flag, shown)}: must be a path, because buckets and other URLs "
            "are not supported; mount the bucket, for example with gcsfuse"
        )
    if shown != given:
        raise BadInput(
            f"{_named(flag, shown)}: must be a path in UTF-8, without control "
            "characters and line breaks"
        )
    longest = max(len(os.fsencode(name)) for name in given.split("/"))
    if longest > MOST_NAME or len(os.fsencode(given)) > MOST_PATH:
        raise BadInput(
            f"{_named(flag, given[:40])}...: must be a path of at most {MOST_PATH} "
            f"bytes whose names have at most {MOST_NAME} bytes each"
        )


def output_path(flag: str, given: str | None) -> Path | None:
    """A file that a command will write, checked before the work is done.

    Args:
      flag: Name of the flag, for messages.
      given: Its value; None or "" if there is none.

    Raises:
      BadInput: it cannot be written, or belongs to a work directory.
    """
    if not given:
        return None
    path = user_path(flag, given)
    try:
        kind = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        kind = None
    except OSError as error:
        raise BadInput(f"{_named(flag, given)}: {error.strerror}") from None
    if kind is not None and stat.S_ISDIR(kind):
        raise BadInput(f"{_named(flag, given)}: must be a file, but is a folder")
    if kind is not None and not (stat.S_ISREG(kind) or stat.S_ISCHR(kind)):
        raise BadInput(
            f"{_named(flag, given)}: must be a file, but is a pipe or a socket"
        )
    if not path.parent.is_dir():
        raise BadInput(f"{_named(flag, given)}: its folder does not exist")
    if given.endswith("/"):
        raise BadInput(f"{_named(flag, given)}: must be a file, but is a folder")
    if not os.access(path if kind is not None else path.parent, os.W_OK):
        raise BadInput(f"{_named(flag, given)}: cannot be written (permission denied)")
    for folder in path.resolve().parents:
        if holds_sweep(folder):
            raise BadInput(
                f"{_named(flag, given)}: must lie outside {folder}, which is the work "
                "directory of a sweep"
            )
    return path


def figure_path(flag: str, given: str | None) -> Path | None:
    """As `output_path`, for a figure, whose ending says its format."""
    if given and Path(given).suffix.lower() not in FIGURES:
        raise BadInput(f"{_named(flag, printable(given))}: must end in {_or(FIGURES)}")
    return output_path(flag, given)


def require_different(**paths: Path | None) -> None:
    """Refuses flags that name one file twice.

    Raises:
      BadInput: two of them do.
    """
    given = {flag: path.resolve() for flag, path in paths.items() if path is not None}
    if len(set(given.values())) < len(given):
        flags = " and ".join(f"--{flag}" for flag in given)
        raise BadInput(f"{flags}: must be different files")


def holds_sweep(folder: Path) -> bool:
    """Whether a folder is the work directory of a sweep, finished or not."""
    manifest = folder / MANIFEST
    try:
        if not stat.S_ISREG(manifest.stat().st_mode):
            return False
        with manifest.open("rb") as file:
            return b'"fingerprint"' in file.read(4096)
    except OSError:
        return False


def _or(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _named(flag: str, given: str) -> str:
    return f"--{flag}={given}" if flag else given
