"""Reads the text of a TensorFlow Datasets (TFDS) data set, given its name.

A name is anything that TFDS itself understands, such as ``imdb_reviews`` or
``lm1b:1.1.0``. ``NAME#SPLIT`` selects a part of the data set, which may be a slice
(``lm1b#train[:1%]``); by default the training split is read. If the data set has
several text features, for example a title and an article, the one with more text is
read. The documents are joined by newlines, in the order into which TFDS shuffled them.
Data sets whose code needs TensorFlow are refused.

Importing this module imports TFDS, which takes a second.
"""

import os
import urllib.error
import urllib.request
from typing import Any

import tensorflow_datasets as tfds

from train.tasks.byte_text import MOST_BYTES
from train.tasks.text_builder import quiet_log

PATIENCE = 10.0
"""Seconds to wait for an answer from the data set's server."""
HEAD = 100
"""Number of rows that decide which of several text features is read."""


def read_dataset(name: str, data_dir: str = "") -> bytes:
    """Reads the text of a data set, downloading it if TFDS does not have it yet.

    Args:
      name: ``NAME`` or ``NAME#SPLIT``.
      data_dir: Data directory of TFDS; "" is TFDS's own default.

    Raises:
      ValueError: there is no such data set, split or text feature, the network cannot
        be reached, or a package is missing; the message is one line that gives the
        reason and leaves it to the caller to name the data set.
    """
    name, _, split = name.partition("#")
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
    except Exception as error:  # the code of a data set may raise anything
        raise ValueError(_reason(error)) from None


def text_features(features: Any) -> list[str]:
    """Names of the features that are plain text.

    Raises:
      ValueError: no feature is plain text; the message lists the features.
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
    """Joins the documents of the feature that has the most text in the first rows."""
    head = [rows[i] for i in range(min(len(rows), HEAD))]
    feature = max(texts, key=lambda name: sum(len(row[name]) for row in head))
    documents, size = [], 0
    for row in rows:
        document = row[feature]
        # Stored text is bytes, but `tfds.testing.mock_data` gives strings.
        documents.append(document if isinstance(document, bytes) else document.encode())
        size += len(documents[-1]) + 1
        if size > MOST_BYTES:
            raise ValueError(
                f"more than {MOST_BYTES:,} bytes; read a part, as in #train[:1%]"
            )
    return b"\n".join(documents)


def _require_network(builder: Any) -> None:
    """Sends one request to the data set's server; TFDS itself would try for 3 minutes.

    Raises:
      ConnectionError: the server does not answer.
    """
    for url in list(builder.url_infos or {})[:1]:
        request = urllib.request.Request(url, method="HEAD")
        try:
            urllib.request.urlopen(request, timeout=PATIENCE).close()
        except urllib.error.HTTPError:
            return  # the server answered, even if a browser would get another answer
        except (OSError, ValueError) as error:
            raise ConnectionError(
                f"not prepared in {builder.data_dir} and cannot be downloaded "
                f"({getattr(error, 'reason', error)})"
            ) from None


def _reason(error: Exception) -> str:
    """The reason why a data set cannot be read, in one line."""
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
