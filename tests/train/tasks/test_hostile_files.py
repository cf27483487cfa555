"""Files that are not what they say: refused by kind and size before they are read."""

import io
import os
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from train.tasks import memory
from train.tasks.bigram_backcopy import dirichlet_statistics
from train.tasks.graph_data import read_graph
from train.tasks.graphs import csbm, node_classification
from train.tasks.text import read_bytes, read_text


def graph_file(path: Path, **changed: bytes) -> Path:
    """A graph of three nodes, with some members of the archive replaced."""
    plain = {
        "edge_index": np.array([[0, 1, 1, 2], [1, 0, 2, 1]]),
        "x": np.eye(3),
        "y": np.array([0, 1, 2]),
    }
    members = {f"{name}.npy": npy(array) for name, array in plain.items()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (members | changed).items():
            archive.writestr(name, content)
    return path


def npy(array: np.ndarray, pickled: bool = False) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=pickled)
    return stream.getvalue()


def promise(shape: str, dtype: str = "<f8") -> bytes:
    """The header of an array of this shape, followed by 8 bytes."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}"
    header = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(8)


def patch(path: Path, flag: int = 0, method: int | None = None) -> None:
    """Rewrites flags and compression of every entry of an archive."""
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(signature)
        while at >= 0:
            data[at + offset] |= flag
            if method is not None:
                struct.pack_into("<H", data, at + offset + 2, method)
            at = data.find(signature, at + 4)
    path.write_bytes(data)


def damage(path: Path) -> None:
    graph_file(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    data = bytearray(path.read_bytes())
    data[50:120] = os.urandom(70)
    path.write_bytes(data)


def sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


GRAPHS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "raw member": ("a.npz", lambda p: graph_file(p, **{"x.npy": b"raw"}), "x.npy"),
    "empty member": ("a.npz", lambda p: graph_file(p, **{"x.npy": b""}), "x.npy"),
    "objects": (
        "a.npz",
        lambda p: graph_file(p, **{"x.npy": npy(np.array([{}] * 3), pickled=True)}),
        "pickles",
    ),
    "terabytes": (
        "a.npz",
        lambda p: graph_file(p, **{"x.npy": promise("(1000000, 1000000)")}),
        "promises 8,000,000,000,000 bytes",
    ),
    "too large to count": (
        "a.npz",
        lambda p: graph_file(p, **{"x.npy": promise(f"({10**30}, 3)")}),
        "promises",
    ),
    "negative": (
        "a.npz",
        lambda p: graph_file(p, **{"x.npy": promise("(-1, -1)")}),
        "negative",
    ),
    "encrypted": ("a.npz", lambda p: patch(graph_file(p), flag=1), "encrypted"),
    "compression": ("a.npz", lambda p: patch(graph_file(p), method=97), "compression"),
    "lzma": ("a.npz", lambda p: patch(graph_file(p), method=14), "compression"),
    "damaged": ("a.npz", damage, "cannot be read"),
    "no features": (
        "a.npz",
        lambda p: graph_file(p, **{"x.npy": npy(np.ones((3, 0)))}),
        "task.features: must be at least one number",
    ),
    "no nodes": (
        "a.npz",
        lambda p: graph_file(
            p,
            **{
                "x.npy": npy(np.ones((0, 2))),
                "y.npy": npy(np.ones(0, int)),
                "edge_index.npy": npy(np.ones((2, 0), int)),
            },
        ),
        "at least 2 nodes",
    ),
    "huge features": (
        "a.npz",
        lambda p: graph_file(p, **{"x.npy": npy(np.eye(3) * 1e300)}),
        "finite",
    ),
    "classes in billions": (
        "a.npz",
        lambda p: graph_file(p, **{"y.npy": npy(np.array([0, 1, 2 * 10**9]))}),
        "below the number of nodes, 3, but one is 2000000000",
    ),
    "classes that wrap": (
        "a.npz",
        lambda p: graph_file(
            p, **{"y.npy": npy(np.array([0, 1, 2**64 - 1], np.uint64))}
        ),
        "but one is 18446744073709551615",
    ),
    "many nodes": (
        "a.npz",
        lambda p: graph_file(p, **{"x.npy": npy(np.ones((3_000_000, 1), np.int8))}),
        "a graph of 3,000,000 nodes: takes at least",
    ),
    "pipe as npz": ("a.npz", os.mkfifo, "must be a file"),
    "pipe as content": ("a.content", os.mkfifo, "must be a file"),
    "folder as npz": ("a.npz", os.mkdir, "is a folder"),
    "zeros as npz": ("a.npz", lambda p: sparse(p, 2 * 10**9), "cannot be read"),
    "zeros as content": ("a.content", lambda p: sparse(p, 2 * 10**9), "at most"),
    "device": ("a.content", lambda p: p.symlink_to("/dev/zero"), "must be a file"),
}


@pytest.mark.parametrize("case", GRAPHS)
def test_a_graph_that_is_none_is_refused_at_once(case: str, tmp_path: Path) -> None:
    name, make, named = GRAPHS[case]
    make(tmp_path / name)
    start = time.monotonic()
    with pytest.raises(ValueError, match="task") as caught:
        node_classification(read_graph(str(tmp_path)))
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (os.mkfifo, "must be a file"),
        (os.mkdir, "is a folder"),
        (lambda p: p.symlink_to("/dev/zero"), "must be a file"),
        (lambda p: p.symlink_to(p), "symbolic links"),
        (lambda p: sparse(p, 3 * 10**9), "must have at most"),
        (lambda p: sparse(p, 10**6), "two different symbols"),
        (lambda p: p.write_bytes(b"\xef\xbb\xbf\n"), "empty"),
    ],
)
def test_a_text_that_is_none_is_refused_at_once(
    make: Callable[[Path], object], named: str, tmp_path: Path
) -> None:
    path = tmp_path / "text.txt"
    make(path)
    start = time.monotonic()
    for read in (read_bytes, read_text):
        with pytest.raises(ValueError, match="task.text=") as caught:
            read(str(path))
        assert named in str(caught.value)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("source", ["gs://bucket/text", "x" * 300, "a\0b"])
def test_names_that_no_file_has_are_refused(source: str) -> None:
    with pytest.raises(ValueError, match="must be a path"):
        read_bytes(source)
    with pytest.raises(ValueError, match="must be a path"):
        read_graph(source)


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"\xef\xbb\xbfabc")
    assert read_bytes(str(path)) == b"abc"
    assert read_text(str(path)) == "abc"
    content = "\ufeffp1\t1\t0\tx\np2\t0\t1\ty\n"
    (tmp_path / "a.content").write_text(content, encoding="utf-8")
    (tmp_path / "a.cites").write_text("\ufeffp1\tp2\n", encoding="utf-8")
    assert read_graph(str(tmp_path), symmetrize=True).adjacency.sum() == 2


def test_the_home_folder_is_expanded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "text.txt").write_text("abc")
    assert read_bytes("~/text.txt") == b"abc"


def test_what_memory_cannot_hold_names_the_setting_and_what_fits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "memory_bytes", lambda: 24e6)
    with pytest.raises(ValueError, match=r"task.nodes=1001: takes .*at most 1,000"):
        csbm(nodes=1001)
    with pytest.raises(ValueError, match=r"task.symbols=1001: takes .*at most 1,000"):
        dirichlet_statistics(1001, 1.0, 0)
    assert csbm(nodes=999).adjacency.shape == (999, 999)
