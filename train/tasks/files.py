"""Reads a user's file only if it is one: a regular file, of a size that makes sense."""

import os
import stat
from pathlib import Path


def local_path(name: str) -> Path:
    """A path as a user writes it, with ``~`` expanded.

    Raises:
      ValueError: it is the URL of a bucket, or no file can have this name.
    """
    if "://" in name:
        raise ValueError("must be a path on this machine, because URLs are not read")
    if "\0" in name or any(len(os.fsencode(part)) > 255 for part in name.split("/")):
        raise ValueError("must be a path, whose names have at most 255 bytes each")
    return Path(os.path.expanduser(name))


def read_regular(path: Path, most_bytes: int) -> bytes:
    """Reads a file after a look at its kind and size.

    Args:
      path: File to read. Pipes, devices and sockets are not opened, because reading
        one may never end.
      most_bytes: Largest size that is read.

    Raises:
      ValueError: it is missing, no regular file, too large or not readable; the message
        leaves it to the caller to name the file.
    """
    check_regular(path, most_bytes)
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(error.strerror) from None


def check_regular(path: Path, most_bytes: int) -> None:
    """The checks of `read_regular` alone."""
    try:
        found = path.stat()
    except FileNotFoundError:
        raise ValueError("no such file") from None
    except OSError as error:
        raise ValueError(error.strerror) from None
    if not stat.S_ISREG(found.st_mode):
        folder = stat.S_ISDIR(found.st_mode)
        kind = "a folder" if folder else "a pipe, a device or a socket"
        raise ValueError(f"must be a file, but is {kind}")
    if found.st_size > most_bytes:
        raise ValueError(
            f"has {found.st_size:,} bytes; must have at most {most_bytes:,}"
        )
