"""Stores a text as a TensorFlow Datasets (TFDS) data set, in records of bytes.

TFDS cuts a text once, shuffles the records, writes them to array_record files in its
data directory, and reads them from there ever after. TensorFlow is not needed. A data
set is named after the hash of its text and the size of its records, so an edited text
is another data set, and data sets of texts that are no longer used can simply be
deleted. TFDS writes under a temporary name and renames at the end, so nothing that a
killed run has left behind is ever read.

Importing this module imports TFDS, which takes a second, so only code that reads bytes
imports it.
"""

import contextlib
import functools
import hashlib
import io
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

FEATURE = "bytes"


class ByteRecords(tfds.core.GeneratorBasedBuilder):
    """Parts of a text as records of equal size; the last one also takes the rest."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, *, parts: dict[str, np.ndarray], record: int, **rest: Any):
        """Names the data set after its content.

        Args:
          parts: Parts of the text, uint8 ``[N]``, by name of their split.
          record: Number of bytes of one record.
          **rest: Arguments of `tfds.core.GeneratorBasedBuilder`.
        """
        self.parts, self.record = parts, record
        digest = hashlib.sha256()
        for name, part in parts.items():
            digest.update(f"{name} {len(part)} ".encode())
            digest.update(part.tobytes())
        config = tfds.core.BuilderConfig(name=f"{digest.hexdigest()[:32]}-{record}")
        super().__init__(config=config, file_format="array_record", **rest)

    def _info(self) -> tfds.core.DatasetInfo:
        # TFDS would store a uint8 tensor as a list of integers.
        data = tfds.features.Text()
        return tfds.core.DatasetInfo(
            builder=self,
            description="Bytes of a text, cut into records.",
            features=tfds.features.FeaturesDict({FEATURE: data}),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {
            name: self._generate_examples(part) for name, part in self.parts.items()
        }

    def _generate_examples(
        self, part: np.ndarray
    ) -> Iterator[tuple[int, dict[str, bytes]]]:
        for index, record in enumerate(cut(part, self.record)):
            yield index, {FEATURE: record.tobytes()}


def cut(part: np.ndarray, record: int) -> list[np.ndarray]:
    """Cuts ``[N]`` into pieces of length ``record``; the last also takes the rest."""
    edges = [i * record for i in range(1, len(part) // record)]
    return np.split(part, edges)


def byte_records(
    parts: dict[str, np.ndarray], record: int, data_dir: str = ""
) -> dict[str, list[np.ndarray]]:
    """Reads parts of a text through TFDS, which first makes the data set if needed.

    Args:
      parts: Parts of the text, uint8 ``[N]``, by name of their split.
      record: Number of bytes of one record.
      data_dir: Data directory of TFDS; "" is TFDS's own default.

    Returns:
      Records, uint8, by split, in the order into which TFDS shuffled them.

    Raises:
      ValueError: the directory cannot be written, or the data set in it is damaged, or
        a package is missing.
    """
    shown = data_dir or tfds.core.constants.DATA_DIR
    make = functools.partial(
        ByteRecords,
        parts=parts,
        record=record,
        data_dir=os.path.expanduser(data_dir) or None,
    )
    with _quiet():
        try:
            builder = _prepare(make)
            return {name: _read(builder, name) for name in parts}
        except OSError as error:
            raise ValueError(
                f"task.data_dir={shown}: cannot be used ({error.strerror or error}); "
                "must be a directory that can be written"
            ) from None
        except ImportError as error:
            raise ValueError(f"task.name=bytes: needs array_record ({error})") from None
        except Exception as error:  # array_record and protobuf have their own errors
            reason = str(error).split("\n")[0]
            raise ValueError(
                f"task.data_dir={shown}: its folder {ByteRecords.name} is damaged "
                f"({reason}); delete that folder"
            ) from None


def _prepare(make: Callable[[], ByteRecords]) -> ByteRecords:
    builder = make()
    try:
        builder.download_and_prepare()
    except OSError:
        # Another run may have made the same data set in the meantime.
        builder = make()
        if not builder.is_prepared():
            raise
    return builder


def _read(builder: ByteRecords, split: str) -> list[np.ndarray]:
    rows = builder.as_data_source(split=split)
    records = [np.frombuffer(row[FEATURE], np.uint8) for row in rows]
    size, expected = sum(map(len, records)), len(builder.parts[split])
    if size != expected:
        raise ValueError(f"{split} has {size} bytes instead of {expected}")
    return records


@contextlib.contextmanager
def quiet_log() -> Iterator[None]:
    """Suppresses warnings that TFDS logs, such as about data sets by other authors."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Also suppresses progress bars and notices; a text of a megabyte takes 0.3 s."""
    tfds.disable_progress_bar()
    try:
        with quiet_log(), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        tfds.enable_progress_bar()
