"""Texts of TFDS data sets by name: those at hand are read, others refused in a line."""

import re
import urllib.error
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core.utils.lazy_imports_utils import tensorflow as tf

from train.tasks import tfds_text
from train.tasks.byte_text import byte_text
from train.tasks.text import read_bytes, read_text

SAYINGS = [f"saying {i}: naïve café, " + "so it goes " * (i % 5) for i in range(40)]


class OnsetSayings(tfds.core.GeneratorBasedBuilder):
    """Known to TFDS by its name, as every data set whose class was defined."""

    VERSION = tfds.core.Version("1.0.0")
    texts: Any = {"author": tfds.features.Text(), "words": tfds.features.Text()}

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict({"n": np.int64, **self.texts})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {
            "train": self._generate_examples(SAYINGS[:30]),
            "test": self._generate_examples(SAYINGS[30:]),
        }

    def _generate_examples(self, sayings: list[str]) -> Iterator[Any]:
        for n, words in enumerate(sayings):
            yield n, {"n": n, "author": "anon", "words": words}


class OnsetWithoutText(OnsetSayings):
    texts: Any = {"pixels": tfds.features.Tensor(shape=(2,), dtype=np.uint8)}


class OnsetOfTensorflow(OnsetSayings):
    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {"train": self._generate_examples(tf.io.gfile.listdir("/"))}


class OnsetFarAway(OnsetSayings):
    url_infos = {"http://far.away/x.zip": None}


def test_all_documents_of_the_training_split_are_read(tmp_path: Path) -> None:
    for _ in range(2):  # made, then cached
        text = read_text("tfds:onset_sayings", str(tmp_path))
        assert sorted(text.split("\n")) == sorted(SAYINGS[:30])
    assert text.split("\n") != SAYINGS[:30]  # TFDS shuffled them


@pytest.mark.parametrize(
    ("split", "expected"),
    [("test", SAYINGS[30:]), ("train+test", SAYINGS), ("test[:3]", None)],
)
def test_a_split_may_be_named(
    split: str, expected: list[str] | None, tmp_path: Path
) -> None:
    text = read_text(f"tfds:onset_sayings:1.0.0#{split}", str(tmp_path))
    documents = text.split("\n")
    if expected:
        assert sorted(documents) == sorted(expected)
    else:
        assert len(documents) == 3
        assert set(documents) < set(SAYINGS[30:])


def test_it_serves_the_byte_task(tmp_path: Path) -> None:
    source = "tfds:onset_sayings#train+test"
    text = read_bytes(source, str(tmp_path))
    task = byte_text(text, 16, str(tmp_path))
    assert task.train.symbols.size + task.test.symbols.size == len(text)


def test_a_published_data_set_in_fake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tfds_text, "_require_network", lambda builder: None)
    with tfds.testing.mock_data(num_examples=7):
        text = read_bytes("tfds:lm1b", str(tmp_path))
    assert len(text.split(b"\n")) == 7


def test_too_much_text_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tfds_text, "MOST_BYTES", 100)
    with pytest.raises(ValueError, match=r"more than 100 bytes; read a part"):
        read_bytes("tfds:onset_sayings", str(tmp_path))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_data_set", "TFDS finds no data set of this name"),
        ("mnist", "no text feature; there are image, label"),
        ("onset_without_text", "no text feature; there are n, pixels"),
        ("onset_of_tensorflow", "needs tensorflow, which is not installed"),
        ("onset_sayings:9.9.9", "9.9.9"),
        ("onset_sayings#dev", "dev"),
        ("", "Parsing builder name"),
        ("on set", "Parsing builder name"),
    ],
)
def test_data_sets_that_cannot_be_read_are_named(
    name: str, message: str, tmp_path: Path
) -> None:
    start = re.escape(f"task.text=tfds:{name}: ")
    with pytest.raises(ValueError, match=f"^{start}.*{message}") as raised:
        read_bytes(f"tfds:{name}", str(tmp_path))
    assert "\n" not in str(raised.value)


def test_without_a_network_nothing_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*args: Any, **rest: Any) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    with pytest.raises(ValueError, match=r"not prepared .* \(no route to host\)"):
        read_bytes("tfds:onset_far_away", str(tmp_path))


def test_an_answer_of_any_kind_is_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(request: Any, timeout: float) -> None:
        raise urllib.error.HTTPError(
            request.full_url, 403, "Forbidden", Message(), None
        )

    monkeypatch.setattr("urllib.request.urlopen", forbidden)
    assert read_bytes("tfds:onset_far_away", str(tmp_path)).count(b"saying") == 30


def test_a_data_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="file.*; task.data_dir names the directory"):
        read_bytes("tfds:onset_sayings", f"{tmp_path}/file")
