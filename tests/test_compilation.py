"""Where compiled programs are kept, and where they are not."""

import collections
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from sweeps import compilation
from sweeps.compilation import SPARE_BYTES, keep_compiled

FOLDER = "jax_compilation_cache_dir"
LIMITS = (
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)
Usage = collections.namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def unchanged() -> Iterator[None]:
    before = {name: jax.config.values[name] for name in (FOLDER, *LIMITS)}
    jax.config.update(FOLDER, None)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_in_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    keep_compiled()
    assert jax.config.values[FOLDER] == str(tmp_path / "onset")
    jax.config.update(FOLDER, "/the/users/own")
    keep_compiled()
    assert jax.config.values[FOLDER] == "/the/users/own"


def test_nowhere_without_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    full = Usage(1e12, 1e12, SPARE_BYTES - 1)
    monkeypatch.setattr(compilation.shutil, "disk_usage", lambda _: full)
    keep_compiled()
    assert jax.config.values[FOLDER] is None


def test_nowhere_without_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    keep_compiled()
    assert jax.config.values[FOLDER] is None
