"""The records of a W&B run file, read with W&B's own schema.

A file ``run-ID.wandb`` is a LevelDB log behind a header of 7 bytes: blocks of 32 KiB
that hold chunks ``CRC-32 (4 bytes), length (2), kind (1), content``, little-endian. A
chunk is a whole record, or the first, a middle or the last part of one. Each record is
a serialised ``Record`` of ``wandb.proto``.
"""

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MAGIC = b":W&B"
HEADER, BLOCK, CHUNK_HEADER = 7, 32768, 7
WHOLE, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def read_records(path: Path) -> Iterator[Any]:
    """Yields every ``Record`` of a run file that is whole.

    Raises:
      ValueError: the file is no run file, or a record in it is damaged.
    """
    from wandb.proto import wandb_internal_pb2 as proto  # loads all of wandb

    data = path.read_bytes()
    if data[:4] != MAGIC:
        raise ValueError(f"{path}: is no file of a W&B run")
    parts: list[bytes] = []
    place = HEADER
    while place + CHUNK_HEADER <= len(data):
        if (left := BLOCK - place % BLOCK) < CHUNK_HEADER:
            place += left  # the end of a block is too short for a chunk
            continue
        crc, size, kind = (
            int.from_bytes(data[place : place + 4], "little"),
            int.from_bytes(data[place + 4 : place + 6], "little"),
            data[place + 6],
        )
        content = data[place + CHUNK_HEADER : place + CHUNK_HEADER + size]
        if kind == 0 or len(content) < size:
            return  # the process died while it wrote
        if zlib.crc32(data[place + 6 : place + 7] + content) != crc:
            raise ValueError(f"{path}: a record is damaged")
        place += CHUNK_HEADER + size
        parts = [content] if kind in (WHOLE, FIRST) else [*parts, content]
        if kind in (WHOLE, LAST):
            yield proto.Record.FromString(b"".join(parts))  # type: ignore[attr-defined]


def history(path: Path) -> list[dict[str, Any]]:
    """The rows that were logged, without what W&B adds to them."""
    rows = []
    for record in read_records(path):
        if record.WhichOneof("record_type") == "history":
            items = {
                item.key or "/".join(item.nested_key): json.loads(item.value_json)
                for item in record.history.item
            }
            rows.append({k: v for k, v in items.items() if not k.startswith("_")})
    return rows


def is_whole(path: Path, rows: int) -> bool:
    """Whether a run's file holds so many rows and the end of the run."""
    found, ended = 0, False
    try:
        for record in read_records(path):
            kind = record.WhichOneof("record_type")
            found += kind == "history"
            ended |= kind == "exit"
    except (OSError, ValueError):
        return False
    return ended and found == rows
