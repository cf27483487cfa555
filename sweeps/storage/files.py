"""The files of a work directory: their names, and how they are written.

Files are written atomically: a reader sees either the old file or the new one, never a
part of it.
"""

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

MANIFEST = "manifest.json"
SUMMARY = "onset.json"
METRICS = "metrics.parquet"
FIGURES = "figures"
CHECKPOINT = "checkpoints/final"
JOURNAL = "checkpoints"


def write_json(path: Path, content: Any) -> None:
    """Writes JSON atomically."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")
    os.replace(temporary, path)


def write_parquet(path: Path, table: pa.Table) -> None:
    """Writes a Parquet file atomically, with strings encoded by dictionary."""
    temporary = path.with_name(f".{path.name}.tmp")
    pq.write_table(table, temporary, compression="zstd")
    os.replace(temporary, path)
