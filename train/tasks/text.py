"""Where a task's text comes from."""

from pathlib import Path

STANDARD = "pydoc_data.topics"


def read_text(source: str) -> str:
    """Reads a UTF-8 text, or the standard library's own (0.7 MB of English).

    Args:
      source: a path, or `STANDARD`.

    Raises:
      ValueError: the file is missing, empty or not UTF-8; the message names it.
    """
    if source == STANDARD:
        from pydoc_data import topics

        return "\n".join(topics.topics.values())
    path = Path(source)
    if not path.is_file():
        raise ValueError(f"task.text={source}: no such file")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"task.text={source}: not UTF-8 (byte {error.start} cannot be read)"
        ) from None
    except OSError as error:
        raise ValueError(f"task.text={source}: {error.strerror}") from None
    if not text.strip():
        raise ValueError(f"task.text={source}: the file is empty")
    return text
