"""A text as a TensorFlow Datasets data set: records of bytes in array_record files.

TFDS cuts a text once, shuffles the records, writes them into its data directory and
serves them from there ever after; TensorFlow is not needed. A data set is named by the
hash of its text and the size of its records, so an edited text is another data set,
and those of texts no longer used may simply be deleted. TFDS writes under another name
and renames at the end: what a killed run left behind is never read.

Importing this file imports TFDS, which takes a second: only what reads bytes does.
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
    """Parts of a text as records of equal size; the last takes what is left over."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, *, parts: dict[str, np.ndarray], record: int, **rest: Any):
        """Names the data set by its content.

        Args:
          parts: uint8 ``[N]`` by split.
          record: bytes of one record.
          **rest: of `tfds.core.GeneratorBasedBuilder`.
        """
        self.parts, self.record = parts, record
        digest = hashlib.sha256()
        for name, part in parts.items():
            digest.update(f"{name} {len(part)} ".encode())
            digest.update(part.tobytes())
        config = tfds.core.BuilderConfig(name=f"{digest.hexdigest()[:32]}-{record}")
        super().__init__(config=config, file_format="array_record", **rest)

    def _info(self) -> tfds.core.DatasetInfo:
        # A uint8 tensor would be stored as a list of integers.
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
    """Cuts ``[N]`` into pieces of ``record``, the last up to twice as long."""
    edges = [i * record for i in range(1, len(part) // record)]
    return np.split(part, edges)


def byte_records(
    parts: dict[str, np.ndarray], record: int, data_dir: str = ""
) -> dict[str, list[np.ndarray]]:
    """Reads parts of a text through TFDS, which makes the data set if it has none.

    Args:
      parts: uint8 ``[N]`` by split.
      record: bytes of one record.
      data_dir: TFDS's data directory; "" is its own default.

    Returns:
      Records uint8 by split, in the order TFDS shuffled them into.

    Raises:
      ValueError: the directory cannot be written, or what is in it is damaged.
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
                "name a directory that can be written"
            ) from None
        except ImportError as error:
            raise ValueError(f"task.name=bytes needs array_record ({error})") from None
        except Exception as error:  # array_record and protobuf have kinds of their own
            reason = str(error).split("\n")[0]
            raise ValueError(
                f"task.data_dir={shown}: {ByteRecords.name} in it is damaged "
                f"({reason}); delete it"
            ) from None


def _prepare(make: Callable[[], ByteRecords]) -> ByteRecords:
    builder = make()
    try:
        builder.download_and_prepare()
    except OSError:
        # Another run may have made the very same data set in the meantime.
        builder = make()
        if not builder.is_prepared():
            raise
    return builder


def _read(builder: ByteRecords, split: str) -> list[np.ndarray]:
    rows = builder.as_data_source(split=split)
    records = [np.frombuffer(row[FEATURE], np.uint8) for row in rows]
    size, expected = sum(map(len, records)), len(builder.parts[split])
    if size != expected:
        raise ValueError(f"{size} bytes of {expected} in {split}")
    return records


@contextlib.contextmanager
def quiet_log() -> Iterator[None]:
    """Holds back what TFDS logs as warnings, such as that a data set is not ours."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Holds back progress and notices too: a text of a megabyte takes .3 s."""
    tfds.disable_progress_bar()
    try:
        with quiet_log(), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        tfds.enable_progress_bar()
