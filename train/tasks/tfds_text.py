"""The text of a TensorFlow Datasets data set, by name.

``tfds:NAME`` is anything TFDS itself understands (``imdb_reviews``,
``lm1b:1.1.0``), ``tfds:NAME#SPLIT`` a part of it, slices included
(``tfds:lm1b#train[:1%]``); the training split by default. Of several texts, as title
and article, the longer one is read. The documents are joined by newlines, in the order
TFDS shuffled them into. Data sets whose code needs TensorFlow are refused.

Importing this file imports TFDS, which takes a second.
"""

import os
import urllib.error
import urllib.request
from typing import Any

import tensorflow_datasets as tfds

from train.tasks.byte_text import MOST_BYTES
from train.tasks.text import DATASET
from train.tasks.text_builder import quiet_log

PATIENCE = 10.0  # seconds
HEAD = 100  # rows that decide which of several texts is read


def read_dataset(source: str, data_dir: str = "") -> bytes:
    """Reads the text of a data set, downloading it if TFDS does not have it yet.

    Args:
      source: ``tfds:NAME`` or ``tfds:NAME#SPLIT``.
      data_dir: TFDS's data directory; "" is its own default.

    Raises:
      ValueError: no such data set, split or text feature, no network, or a package is
        missing; one line that names the source.
    """
    name, _, split = source.removeprefix(DATASET).partition("#")
    try:
        with quiet_log():
            builder = tfds.builder(
                name,
                data_dir=os.path.expanduser(data_dir) or None,
                file_format="array_record",
            )
            texts = text_features(builder.info.features)
            if not builder.is_prepared():
                _require_network(builder)
            builder.download_and_prepare()
            rows = builder.as_data_source(split=split or "train")
            return _join(rows, texts)
    except Exception as error:  # whatever the code of any data set may raise
        raise ValueError(f"task.text={source}: {_reason(error)}") from None


def text_features(features: Any) -> list[str]:
    """Names of the features that are plain text.

    Raises:
      ValueError: there is none; the message lists what there is.
    """
    texts = [
        name
        for name, feature in features.items()
        if isinstance(feature, tfds.features.Text) and feature.encoder is None
    ]
    if not texts:
        raise ValueError(f"no text feature; there are {', '.join(features)}")
    return texts


def _join(rows: Any, texts: list[str]) -> bytes:
    """The documents of the feature that has most text in the first rows."""
    head = [rows[i] for i in range(min(len(rows), HEAD))]
    feature = max(texts, key=lambda name: sum(len(row[name]) for row in head))
    documents, size = [], 0
    for row in rows:
        document = row[feature]
        # Stored text is bytes; fake data of `tfds.testing.mock_data` is not.
        documents.append(document if isinstance(document, bytes) else document.encode())
        size += len(documents[-1]) + 1
        if size > MOST_BYTES:
            raise ValueError(
                f"more than {MOST_BYTES:,} bytes; take a part, as in #train[:1%]"
            )
    return b"\n".join(documents)


def _require_network(builder: Any) -> None:
    """Asks a source of the data set for its head: TFDS would try for 3 minutes."""
    for url in list(builder.url_infos or {})[:1]:
        request = urllib.request.Request(url, method="HEAD")
        try:
            urllib.request.urlopen(request, timeout=PATIENCE).close()
        except urllib.error.HTTPError:
            return  # an answer, if not the one a browser would get
        except (OSError, ValueError) as error:
            raise ConnectionError(
                f"not prepared in {builder.data_dir} and cannot be downloaded "
                f"({getattr(error, 'reason', error)})"
            ) from None


def _reason(error: Exception) -> str:
    """One line on why a data set cannot be read."""
    if isinstance(error, ImportError):
        needs = (error.name or str(error)).split(".")[0]
        return f"this data set needs {needs}, which is not installed"
    if isinstance(error, tfds.core.DatasetNotFoundError):
        return "TFDS finds no data set of this name (without TensorFlow)"
    if isinstance(error, OSError) and error.filename:
        where = f"{error.strerror}: {error.filename}"
        return f"{where}; task.data_dir names the directory"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
