"""Windows of the byte task, and the text that TFDS holds for it."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps.main import main
from tests import ROOT
from train.tasks.byte_text import byte_text, from_records, split_text
from train.tasks.text import STANDARD, read_bytes
from train.tasks.text_builder import ByteRecords, byte_records, cut


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes in which every window of a few occurs once, above all 8 bits."""
    return np.random.default_rng(seed).bytes(size)


def decoded(alphabet: Any, symbols: Any) -> list[bytes]:
    return [row.tobytes() for row in np.asarray(alphabet)[np.asarray(symbols)]]


def counted(records: list[np.ndarray]) -> Counter[bytes]:
    return Counter(record.tobytes() for record in records)


@given(st.binary(min_size=1, max_size=200), st.integers(1, 50))
def test_records_are_of_one_size_and_cover_the_text(text: bytes, size: int) -> None:
    records = cut(np.frombuffer(text, np.uint8), size)
    assert b"".join(record.tobytes() for record in records) == text
    assert {len(record) for record in records[:-1]} <= {size}
    assert len(records[-1]) < 2 * size


@given(st.binary(min_size=100, max_size=3000))
def test_held_out_is_the_last_tenth(text: bytes) -> None:
    parts = split_text(text)
    assert parts["train"].tobytes() + parts["held_out"].tobytes() == text
    assert len(parts["held_out"]) == len(text) // 10


def test_tfds_gives_back_every_record_shuffled(tmp_path: Path) -> None:
    parts = split_text(noise(5003))
    records = byte_records(parts, 100, str(tmp_path))
    for name, part in parts.items():
        assert counted(records[name]) == counted(cut(part, 100))
    assert np.concatenate(records["train"]).tobytes() != parts["train"].tobytes()
    assert "tensorflow" not in sys.modules


def test_the_second_reading_generates_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = split_text(noise(1000))
    first = byte_records(parts, 50, str(tmp_path))
    monkeypatch.setattr(ByteRecords, "_generate_examples", None)
    again = byte_records(parts, 50, str(tmp_path))
    for name in parts:
        np.testing.assert_array_equal(
            np.concatenate(first[name]), np.concatenate(again[name])
        )


def test_an_edited_text_or_another_size_is_read_anew(tmp_path: Path) -> None:
    text = noise(1000)
    edited = b"!" + text[1:]
    for content, size in ((text, 50), (edited, 50), (text, 40)):
        parts = split_text(content)
        records = byte_records(parts, size, str(tmp_path))
        assert counted(records["train"]) == counted(cut(parts["train"], size))


KILLED = """
import os, signal, sys
from train.tasks.byte_text import split_text
from train.tasks.text_builder import ByteRecords, byte_records
def generate(self, part):
    yield 0, {"bytes": part[:100].tobytes()}
    os.kill(os.getpid(), signal.SIGKILL)
ByteRecords._generate_examples = generate
byte_records(split_text(sys.stdin.buffer.read()), 100, sys.argv[1])
"""


def test_a_killed_run_leaves_nothing_that_is_read(tmp_path: Path) -> None:
    text = noise(1000)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        input=text,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
    )
    assert killed.returncode == -signal.SIGKILL
    assert any("incomplete" in path.name for path in tmp_path.rglob("*"))
    parts = split_text(text)
    records = byte_records(parts, 100, str(tmp_path))
    assert counted(records["train"]) == counted(cut(parts["train"], 100))


def test_two_runs_may_make_the_same_data_set_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = split_text(noise(1000))
    generate = ByteRecords._generate_examples

    def meanwhile(self: ByteRecords, part: np.ndarray) -> Iterator[Any]:
        monkeypatch.setattr(ByteRecords, "_generate_examples", generate)
        byte_records(parts, 100, str(tmp_path))  # the other run is faster
        yield from generate(self, part)

    monkeypatch.setattr(ByteRecords, "_generate_examples", meanwhile)
    records = byte_records(parts, 100, str(tmp_path))
    assert counted(records["train"]) == counted(cut(parts["train"], 100))


def test_windows_are_pieces_of_their_part_of_the_text(tmp_path: Path) -> None:
    text, length = noise(20_000), 32
    task = byte_text(text, length, str(tmp_path))
    assert task.outputs == 257
    for draw, places in (
        (task.sample, range(18_000 - length + 1)),
        (task.held_out, range(18_000, 20_000 - length + 1)),
    ):
        inputs, targets = draw(jax.random.key(0), 300)
        assert inputs.shape == targets.shape == (300, length)
        assert inputs.dtype == targets.dtype == np.int32
        assert (inputs[:, 0] == task.outputs - 1).all()
        np.testing.assert_array_equal(inputs[:, 1:], targets[:, :-1])
        for window in decoded(task.alphabet, targets):
            assert text.find(window) in places


@settings(max_examples=5, deadline=None)  # each size compiles
@given(st.lists(st.integers(10, 14), min_size=1, max_size=4), st.integers(0, 99))
def test_every_window_of_a_record_is_as_likely(lengths: list[int], seed: int) -> None:
    records = [
        np.arange(100 * i, 100 * i + size).astype(np.uint8)
        for i, size in enumerate(lengths, start=1)
    ]
    task = from_records(records, records[:1], 10)
    expected = {r[i : i + 10].tobytes() for r in records for i in range(len(r) - 9)}
    _, targets = task.sample(jax.random.key(seed), 4000)
    seen = Counter(decoded(task.alphabet, targets))
    assert set(seen) == expected
    # At most 20 windows, 200 draws each or more: 6 standard deviations are .42.
    even = np.full(len(seen), 4000 / len(seen))
    np.testing.assert_allclose(list(seen.values()), even, rtol=0.45)


def test_symbols_are_the_bytes_that_occur(tmp_path: Path) -> None:
    text = "só ábac ".encode() * 50
    task = byte_text(text, 12, str(tmp_path))
    assert np.asarray(task.alphabet).tobytes() == bytes(sorted(set(text)))
    assert task.outputs == len(set(text)) + 1


def test_another_text_of_the_same_sizes_is_not_compiled_again(tmp_path: Path) -> None:
    draw = jax.jit(lambda task, keys: jax.vmap(lambda key: task.sample(key, 5))(keys))
    keys = jax.random.split(jax.random.key(1), 3)
    for seed in (0, 1):
        task = byte_text(noise(20_000, seed), 16, str(tmp_path))
        for one, many in zip(task.sample(keys[2], 5), draw(task, keys), strict=True):
            np.testing.assert_array_equal(one, many[2])
    assert draw._cache_size() == 1


def damaged(folder: Path, name: str) -> None:
    byte_text(noise(1000), 16, str(folder))
    (file,) = folder.rglob(name)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def occupied(folder: Path) -> None:
    folder.rmdir()
    folder.write_text("a file")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (occupied, "cannot be used .*; must be a directory that can be written"),
        (lambda folder: damaged(folder, "*train.array_record*"), "is damaged"),
        (lambda folder: damaged(folder, "dataset_info.json"), "is damaged"),
    ],
)
def test_unusable_data_directories_are_named(
    spoil: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    spoil(tmp_path)
    with pytest.raises(ValueError, match=f"^task.data_dir={tmp_path}: .*{message}"):
        byte_text(noise(1000), 16, str(tmp_path))


@pytest.mark.parametrize(
    ("length", "message"),
    [
        (9, "train.length=9: must be at least 10"),
        (101, r"train.length=101: must not be longer than .* part \(100 bytes"),
    ],
)
def test_lengths_that_do_not_fit_are_named(
    length: int, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        byte_text(noise(1000), length, str(tmp_path))
    assert byte_text(noise(1000), 100, str(tmp_path)).length == 100


def test_building_says_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    byte_text(noise(1000), 16, str(tmp_path))
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("undrawn")
def test_its_config_runs(tiny: dict[str, Any], tmp_path: Path) -> None:
    assert len(read_bytes(STANDARD)) > 100_000
    values = tiny | {"task.data_dir": str(tmp_path / "data")}
    flags = [f"--config.{key}={value}" for key, value in values.items()]
    config = f"--config={ROOT}/configs/attention_bytes.py"
    assert main(["sweep", config, f"--workdir={tmp_path}/sweep", *flags]) == 0
    assert any((tmp_path / "data" / "byte_records").iterdir())
