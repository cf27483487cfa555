"""Where a task's text comes from."""

from pathlib import Path

STANDARD = "pydoc_data.topics"
DATASET = "tfds:"


def read_bytes(source: str, data_dir: str = "") -> bytes:
    """Reads a text: a file, the standard library's own, or a TFDS data set.

    Args:
      source: a path, `STANDARD` (0.5 MB of English), or ``tfds:NAME``, see
        `train.tasks.tfds_text`.
      data_dir: of TFDS, for ``tfds:NAME``; "" is its default.

    Raises:
      ValueError: it cannot be read or is empty; the message names it.
    """
    if source == STANDARD:
        from pydoc_data import topics

        return "\n".join(topics.topics.values()).encode()
    if source.startswith(DATASET):
        from train.tasks.tfds_text import read_dataset  # imports TFDS, 1 s

        data = read_dataset(source, data_dir)
    else:
        data = _read_file(source)
    if not data.strip():
        raise ValueError(f"task.text={source}: the text is empty")
    return data


def read_text(source: str, data_dir: str = "") -> str:
    """Reads a UTF-8 text as characters, newlines unified; see `read_bytes`.

    Raises:
      ValueError: as `read_bytes`, or it is not UTF-8; the message names it.
    """
    try:
        text = read_bytes(source, data_dir).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"task.text={source}: not UTF-8 (byte {error.start} cannot be read)"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read_file(source: str) -> bytes:
    path = Path(source)
    if not path.is_file():
        raise ValueError(f"task.text={source}: no such file")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"task.text={source}: {error.strerror}") from None
