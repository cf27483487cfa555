"""The tensors of a file or folder by name: listed when opened, loaded when read."""

import json
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from routers.pretrained.packages import optional

FLOATS = ("F64", "F32", "F16", "BF16")
"""Types of tensors that are read from safetensors."""
INDEX = "model.safetensors.index.json"
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


Read = Callable[..., np.ndarray]
"""Function ``(name, *shape)`` that checks and loads one tensor, see `Tensors.read`."""


class Entry(NamedTuple):
    """What is known of a tensor without loading it.

    Attributes:
      shape: Its shape.
      kind: Name of the type of its numbers in the file.
    """

    shape: tuple[int, ...]
    kind: str


class Tensors:
    """Tensors by name. `read` checks name, shape and type, and loads one tensor.

    Attributes:
      where: File or folder, for messages.
      entries: Every tensor by name.
      used: Names that were read so far.
    """

    def __init__(
        self,
        where: str,
        entries: Mapping[str, Entry],
        load: Callable[[str], np.ndarray],
        kinds: tuple[str, ...] = FLOATS,
    ) -> None:
        """Takes the entries, a function that loads one of them, and supported types."""
        self.where, self.entries, self.used = where, entries, set[str]()
        self._load, self._kinds = load, kinds

    def read(self, name: str, *shape: int) -> np.ndarray:
        """One tensor, as it is stored.

        Raises:
          ValueError: It is missing, has another shape or a type that is not supported.
        """
        if name not in self.entries:
            raise ValueError(f"{self.where}: tensor {name} is missing")
        found, kind = self.entries[name]
        if found != shape:
            raise ValueError(
                f"{self.where}: tensor {name} has shape {list(found)}, the settings "
                f"say {list(shape)}"
            )
        if kind not in self._kinds:
            raise ValueError(
                f"{self.where}: tensor {name} is of type {kind}, must be one of "
                f"{', '.join(self._kinds)}"
            )
        self.used.add(name)
        return self._load(name)

    def repeat(self, prefix: str, layers: int) -> None:
        """Checks that every layer has what was read under the prefix of layer 0.

        Args:
          prefix: Prefix of a layer's names, with ``{}`` for its index.
          layers: Number of layers.

        Raises:
          ValueError: As `read`.
        """
        first = prefix.format(0)
        own = [name for name in sorted(self.used) if name.startswith(first)]
        for index in range(1, layers):
            for name in own:
                other = prefix.format(index) + name.removeprefix(first)
                self.read(other, *self.entries[name].shape)

    def under(self, prefix: str) -> Read:
        """`read` with a prefix before every name."""
        return lambda name, *shape: self.read(prefix + name, *shape)

    def renamed(self, rename: Callable[[str], str]) -> "Tensors":
        """The same tensors under other names."""
        old = {rename(name): name for name in self.entries}
        entries = {new: self.entries[name] for new, name in old.items()}
        return Tensors(
            self.where, entries, lambda name: self._load(old[name]), self._kinds
        )

    def rehearsal(self) -> "Tensors":
        """Zeros in place of the tensors, which cost nothing: only checks are left."""

        def zeros(name: str) -> np.ndarray:
            return np.broadcast_to(np.float32(0.0), self.entries[name].shape)

        return Tensors(self.where, self.entries, zeros, self._kinds)

    def refuse_unused(self, ignored: str) -> None:
        """Raises ValueError if a tensor was not read whose name is not to be ignored.

        Args:
          ignored: Regular expression of names that no output depends on.
        """
        rest = sorted(
            name
            for name in set(self.entries) - self.used
            if not (ignored and re.fullmatch(ignored, name))
        )
        if rest:
            more = f" and {len(rest) - 1} more" if rest[1:] else ""
            raise ValueError(
                f"{self.where}: tensor {rest[0]}{more} has no place in a model with "
                "these settings"
            )


def open_safetensors(folder: Path) -> Tensors:
    """The tensors of a folder with one safetensors file, or with shards and an index.

    Raises:
      ValueError: A file is damaged, or the index names a file outside of the folder.
      OSError: A file is missing.
    """
    if (folder / INDEX).exists():
        return _open_shards(folder, _read_index(folder / INDEX))
    files = sorted(folder.glob("*.safetensors"))
    if len(files) == 1:
        return _open_shards(folder, dict.fromkeys(_names(files[0]), files[0].name))
    if files:
        raise ValueError(f"{folder}: has several safetensors files but no {INDEX}")
    pickled = [file for pattern in PICKLED for file in sorted(folder.glob(pattern))]
    if pickled:
        raise ValueError(
            f"{pickled[0]}: pickled weights are not read, because loading them runs "
            "code; convert them where they are trusted: python -c 'from transformers "
            "import AutoModelForCausalLM as M; "
            f'M.from_pretrained("{folder}").save_pretrained("{folder}")\''
        )
    raise FileNotFoundError(f"{folder}: has no safetensors file")


def read_json(path: Path) -> dict:
    """The object in a JSON file; ValueError if there is none, OSError if no file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"), object_hook=_plain)
    except ValueError as error:  # also of the encoding
        raise ValueError(f"{path}: is not JSON ({error})") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path}: must hold a JSON object")
    return found


def _plain(found: dict) -> Any:
    """Infinity is written as an object by newer versions of transformers."""
    return float(found["__float__"]) if set(found) == {"__float__"} else found


def _read_index(path: Path) -> dict[str, str]:
    found = read_json(path).get("weight_map")
    if not isinstance(found, dict) or not found:
        raise ValueError(f"{path}: weight_map is missing")
    for name, file in found.items():
        if not isinstance(file, str) or Path(file).name != file or "\\" in file:
            raise ValueError(
                f"{path}: tensor {name} is said to be in {file!r}, which must be the "
                "name of a file in the same folder"
            )
    return found


def _open_shards(folder: Path, places: Mapping[str, str]) -> Tensors:
    safe_open = optional("safetensors").safe_open
    entries: dict[str, Entry] = {}
    for file in sorted(set(places.values())):
        inside = _names(folder / file)
        for name in (name for name, place in places.items() if place == file):
            if name not in inside:
                raise ValueError(f"{folder / file}: tensor {name} is missing")
            entries[name] = inside[name]

    def load(name: str) -> np.ndarray:
        with safe_open(folder / places[name], framework="numpy") as file:
            return file.get_tensor(name)

    return Tensors(str(folder), entries, load)


def _names(path: Path) -> dict[str, Entry]:
    """The entries of one file, from its header."""
    safetensors = optional("safetensors")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: is missing")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            # An open file is no mapping: only `keys` lists its names.
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            return {
                name: Entry(tuple(one.get_shape()), one.get_dtype())
                for name, one in slices.items()
            }
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path}: is no whole safetensors file ({error})") from None


def open_npz(path: Path) -> Tensors:
    """The arrays of an ``.npz`` file; pickled objects in it are refused.

    Raises:
      ValueError: The file is damaged.
      OSError: It is missing.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: is missing")
    try:
        with path.open("rb") as content, np.load(content) as file:
            arrays = dict(file)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: is no whole npz file ({error})") from None
    entries = {name: Entry(a.shape, str(a.dtype)) for name, a in arrays.items()}
    kinds = ("float16", "float32", "float64")
    return Tensors(str(path), entries, lambda name: arrays[name], kinds)
