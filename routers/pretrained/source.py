"""Where a published model is read from: a folder or a file, opened but not loaded."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from routers.pretrained.gguf_file import gguf_tokenizer, open_gguf
from routers.pretrained.settings import Settings
from routers.pretrained.tensors import (
    Tensors,
    open_npz,
    open_safetensors,
    read_json,
)
from routers.pretrained.tokenizer import Tokenizer, folder_tokenizer
from routers.validation import require_at_least

DTYPES = ("float32", "bfloat16")


@dataclasses.dataclass(frozen=True)
class Source:
    """A published model's files, for a reader.

    Attributes:
      path: Folder or file.
      settings: ``config.json`` of a folder, the fields of a GGUF file under the same
        names, or nothing.
      tensors: Every tensor by name.
      tokenizer: Function that opens the tokenizer.
      dtype: Type of the matrix products, float32 or bfloat16.
      groups: Number of groups of channels that a router without heads reports.
    """

    path: Path
    settings: Settings
    tensors: Tensors
    tokenizer: Callable[[], Tokenizer]
    dtype: Any = jnp.float32
    groups: int = 1


def open_source(path: Path, dtype: str = "float32", groups: int = 1) -> Source:
    """Opens a folder with ``config.json``, a GGUF file or an ``.npz`` file.

    Raises:
      ValueError: It is none of these, or damaged.
      OSError: A file is missing.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype={dtype!r}: must be one of {', '.join(DTYPES)}")
    require_at_least(1, groups=groups)
    kind = jnp.dtype(dtype)
    if path.suffix == ".gguf":
        settings, tensors, fields = open_gguf(path)

        def tokenizer() -> Tokenizer:
            return gguf_tokenizer(fields, str(path))

    elif path.suffix == ".npz":
        settings, tensors = Settings({}, str(path)), open_npz(path)

        def tokenizer() -> Tokenizer:
            raise ValueError(f"{path}: an npz file has no tokenizer")

    elif path.is_dir():
        config = path / "config.json"
        if not config.is_file():
            raise FileNotFoundError(f"{config}: is missing")
        settings = Settings(read_json(config), str(config))
        tensors = open_safetensors(path)

        def tokenizer() -> Tokenizer:
            return folder_tokenizer(path)

    elif path.exists():
        raise ValueError(f"{path}: must be a folder, a .gguf file or an .npz file")
    else:
        raise FileNotFoundError(f"{path}: is missing")
    return Source(path, settings, tensors, tokenizer, kind, groups)
