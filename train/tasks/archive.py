"""Reads arrays from a NumPy archive, after a look at what its headers promise.

`numpy.load` believes a header: an archive of a kilobyte can make it allocate terabytes,
and members that are encrypted, or are no arrays, surface wherever they are used.
"""

import math
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

from train.tasks.files import check_regular

MOST_BYTES = 16_000_000_000
"""Largest number of bytes that an archive, or an array in it, may have."""
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Compressions that NumPy itself writes."""


def read_arrays(file: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Reads the arrays of these names, as far as the archive has them.

    Args:
      file: A ``.npz`` file. Arrays of Python objects are pickles and are refused,
        because loading a pickle runs any code that its author put there.
      names: Names of arrays.

    Raises:
      ValueError: it is no such archive, or an array is not what its header says; the
        message is one line that leaves it to the caller to name the file.
    """
    check_regular(file, MOST_BYTES)
    try:
        with zipfile.ZipFile(file) as archive:
            present = set(archive.namelist())
            return {
                name: _read_array(archive, f"{name}.npy")
                for name in names
                if f"{name}.npy" in present
            }
    except (
        OSError,
        EOFError,
        MemoryError,
        NotImplementedError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise ValueError(lines[0]) from None


def _read_array(archive: zipfile.ZipFile, member: str) -> np.ndarray:
    info = archive.getinfo(member)
    if info.flag_bits & 1:
        raise ValueError(f"{member} is encrypted")
    if info.compress_type not in METHODS:
        raise ValueError(f"{member} has a compression that NumPy does not write")
    with archive.open(info) as stream:
        shape, dtype = _header(stream, member)
        size, there = math.prod(shape) * dtype.itemsize, info.file_size - stream.tell()
        if size != there or size > MOST_BYTES:
            raise ValueError(
                f"the header of {member} promises {size:,} bytes, but it has {there:,}"
            )
    with archive.open(info) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _header(stream: IO[bytes], member: str) -> tuple[tuple[int, ...], np.dtype]:
    try:
        version = np.lib.format.read_magic(stream)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, _, dtype = read(stream)
    except (ValueError, KeyError, TypeError, SyntaxError):
        raise ValueError(f"{member} is not a NumPy array") from None
    if dtype.hasobject:
        raise ValueError(f"{member} has Python objects, which are pickles")
    if any(size < 0 for size in shape):
        raise ValueError(f"{member} has a negative size")
    return shape, dtype
