"""Ways to damage a file that tests of recovery share."""

from pathlib import Path


def flip(path: Path) -> None:
    """Flips bits of more bytes than a header has that nobody reads."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    for index in range(middle, min(middle + 200, len(content))):
        content[index] ^= 16
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
