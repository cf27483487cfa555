"""Reads the text of a task from a file, the standard library or a TFDS data set."""

import codecs

from train.tasks.byte_text import MOST_BYTES
from train.tasks.files import local_path, read_regular

STANDARD = "pydoc_data.topics"
DATASET = "tfds:"
MOST_CHARACTERS = 300_000_000
"""Largest number of bytes of a text that is read as characters."""


def read_bytes(source: str, data_dir: str = "", most_bytes: int = MOST_BYTES) -> bytes:
    """Reads a text as bytes, without the byte-order mark that some editors write.

    Args:
      source: Path of a file, or `STANDARD` (0.5 MB of English that comes with Python),
        or ``tfds:`` and a name for `train.tasks.tfds_text.read_dataset`.
      data_dir: Data directory of TFDS, for ``tfds:NAME``; "" is TFDS's own default.
      most_bytes: Largest size that a text may have.

    Raises:
      ValueError: the text cannot be read, is empty or too large; the message names the
        source.
    """
    try:
        return _read(source, data_dir, most_bytes)
    except ValueError as error:
        raise ValueError(f"task.text={source}: {error}") from None


def read_text(source: str, data_dir: str = "") -> str:
    """Reads a UTF-8 text as characters, with all line ends turned into newlines.

    Args:
      source: As for `read_bytes`.
      data_dir: As for `read_bytes`.

    Raises:
      ValueError: as for `read_bytes`, or the text is not UTF-8; the message names the
        source.
    """
    try:
        text = read_bytes(source, data_dir, MOST_CHARACTERS).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"task.text={source}: not UTF-8 (byte {error.start} cannot be read)"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read(source: str, data_dir: str, most_bytes: int) -> bytes:
    """Reads a text as `read_bytes` does; error messages do not name the source."""
    if source == STANDARD:
        from pydoc_data import topics

        return "\n".join(topics.topics.values()).encode()
    if source.startswith(DATASET):
        from train.tasks.tfds_text import read_dataset  # importing TFDS takes 1 s

        data = read_dataset(source.removeprefix(DATASET), data_dir)
    else:
        data = read_regular(local_path(source), most_bytes)
    data = data.removeprefix(codecs.BOM_UTF8)
    if not data.strip():
        raise ValueError("the text is empty")
    if data.count(data[:1]) == len(data):
        raise ValueError("the text must have at least two different symbols")
    return data
