"""The files of a work directory: their names, and how they are written and read.

Files are written atomically: a reader sees either the old file or the new one, never a
part of it. A temporary file has a name that nobody can foresee and is always a new
file, so that a link left in a shared directory leads nowhere.
"""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

MANIFEST = "manifest.json"
SUMMARY = "onset.json"
METRICS = "metrics.parquet"
FIGURES = "figures"
ROUTING = "routing.npz"
REPORT = "report.html"
CHECKPOINT = "checkpoints/final"
JOURNAL = "checkpoints"
STEPS = "checkpoints/kept"
"""Parameters at chosen steps, which stay when the journal goes."""
TEMPORARY = ".onset-", ".tmp"
"""Beginning and end of a temporary name."""
UNFINISHED = ".orbax-checkpoint-tmp"
"""End of the name of a checkpoint whose save was not finished."""
MOST_JSON_BYTES = 256 * 2**20
"""Size of a JSON file above which it is not read."""


def temporary_name(folder: Path) -> Path:
    """A new name in a folder for something that is not finished."""
    start, end = TEMPORARY
    return folder / f"{start}{secrets.token_hex(8)}{end}"


def is_temporary(path: Path) -> bool:
    """Whether a name is one that `temporary_name` or Orbax gives to the unfinished."""
    start, end = TEMPORARY
    ours = path.name.startswith(start) and path.name.endswith(end)
    return ours or path.name.endswith(UNFINISHED)


def remove_temporaries(folder: Path) -> None:
    """Removes what launches that were killed have left unfinished in a folder.

    Nothing is done where there is no such folder, or a link in its place.
    """
    if folder.is_symlink() or not folder.is_dir():
        return
    for path in folder.iterdir():
        if is_temporary(path):
            remove(path)


def remove(path: Path) -> None:
    """Removes a file, a link or a folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Opens a new file, which replaces the one of this path once it is on disk."""
    temporary = temporary_name(path.parent)
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW
    file = open_new(temporary, flags)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a failed write does not say where
        raise


def open_new(path: Path, flags: int) -> IO[bytes]:
    """Opens a file for writing bytes, with the permissions that the user's mask gives.

    Args:
      path: Path of the file.
      flags: Flags of `os.open`.
    """
    return os.fdopen(os.open(path, flags, 0o666), "wb")


def write_json(path: Path, content: Any) -> None:
    """Writes JSON atomically."""
    with replacing(path) as file:
        file.write((json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def write_parquet(path: Path, table: pa.Table) -> None:
    """Writes a Parquet file atomically, with strings encoded by dictionary."""
    with replacing(path) as file:
        pq.write_table(table, file, compression="zstd")


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Writes NumPy arrays atomically, compressed."""
    with replacing(path) as file:
        np.savez_compressed(file, **dict(arrays))


def read_json(path: Path) -> Any:
    """Reads JSON from a regular file of reasonable size.

    Raises:
      ValueError: it is not JSON, not a regular file, or too large.
      OSError: it cannot be read.
    """
    # Without waiting: to open a FIFO takes until somebody writes to it.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is not a regular file")
        if status.st_size > MOST_JSON_BYTES:
            raise ValueError(f"it has {status.st_size / 1e6:.0f} MB")
        try:
            return json.loads(file.read(MOST_JSON_BYTES))
        except RecursionError:
            raise ValueError("it is nested too deeply") from None


def looks_whole(path: Path) -> bool:
    """Whether a result could be one, which takes no time for a file of any size."""
    if path.suffix == ".json":
        return path.stat().st_size <= MOST_JSON_BYTES
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"  # the signature of Parquet


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def watch_folder(folder: Path) -> Callable[[], None]:
    """Makes a check that a directory is still the one that it is now.

    Returns:
      A function that raises OSError once the directory was removed or replaced, because
      what a sweep writes from then on would be lost or belong to somebody else.
    """
    before = os.stat(folder)

    def check() -> None:
        with contextlib.suppress(OSError):
            if os.path.samestat(before, os.stat(folder)):
                return
        raise OSError(f"{folder} was removed or replaced while the sweep ran")

    return check
