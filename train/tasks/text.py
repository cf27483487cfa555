"""Reads the text of a task from a file, the standard library or a TFDS data set."""

from pathlib import Path

STANDARD = "pydoc_data.topics"
DATASET = "tfds:"


def read_bytes(source: str, data_dir: str = "") -> bytes:
    """Reads a text as bytes.

    Args:
      source: Path of a file, or `STANDARD` (0.5 MB of English that comes with Python),
        or ``tfds:`` and a name for `train.tasks.tfds_text.read_dataset`.
      data_dir: Data directory of TFDS, for ``tfds:NAME``; "" is TFDS's own default.

    Raises:
      ValueError: the text cannot be read or is empty; the message names the source.
    """
    try:
        return _read(source, data_dir)
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
        text = read_bytes(source, data_dir).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"task.text={source}: not UTF-8 (byte {error.start} cannot be read)"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read(source: str, data_dir: str) -> bytes:
    """Reads a text as `read_bytes` does; error messages do not name the source."""
    if source == STANDARD:
        from pydoc_data import topics

        return "\n".join(topics.topics.values()).encode()
    if source.startswith(DATASET):
        from train.tasks.tfds_text import read_dataset  # importing TFDS takes 1 s

        data = read_dataset(source.removeprefix(DATASET), data_dir)
    else:
        data = _read_file(Path(source))
    if not data.strip():
        raise ValueError("the text is empty")
    return data


def _read_file(path: Path) -> bytes:
    if not path.is_file():
        raise ValueError("no such file")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(error.strerror) from None
