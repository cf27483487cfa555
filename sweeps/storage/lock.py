"""The lock that keeps a work directory for one launch at a time."""

import contextlib
import errno
import fcntl
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from sweeps.errors import BadInput

LOCK = ".lock"
READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
"""Errors of a directory that can be read and not written."""
TAKEN = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
"""Errors of a lock that another process holds."""


@contextlib.contextmanager
def lock(workdir: Path) -> Iterator[None]:
    """Holds the lock; the operating system releases it however this process ends.

    Raises:
      BadInput: another launch holds the directory, or its file system has no locks.
      OSError: the lock's file cannot be opened.
    """
    path = workdir / LOCK
    # A link could lead to a file that is none of ours, and would be overwritten.
    flags = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise BadInput(
                f"workdir={workdir}: {LOCK} is not a regular file; remove it, or "
                "choose another directory"
            ) from None
        raise
    with os.fdopen(descriptor, "r+", errors="replace") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BadInput(
                f"workdir={workdir}: {_why(error, file.read(200))}"
            ) from None
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
        yield


def _why(error: OSError, owner: str) -> str:
    """Why the lock was not given, and what helps."""
    if error.errno in TAKEN:
        owner = " ".join(owner.split()) or "another process"
        return f"in use by {owner}; wait until it ends, or choose another directory"
    return (
        f"its file system gives no lock ({error.strerror}), so that two launches could "
        "overwrite each other; choose a directory on another file system"
    )
