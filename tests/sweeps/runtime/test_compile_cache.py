"""What a sweep compiles is kept where the user says, else in the home directory."""

import collections
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from sweeps.runtime import compile_cache as compilation
from sweeps.runtime.compile_cache import SPARE_BYTES, keep_compiled
from tests import ROOT

COMPILE = """
import jax
from sweeps.runtime.compile_cache import keep_compiled
keep_compiled()
jax.jit(lambda x: x + 1)(1.0)
"""


@pytest.mark.parametrize(
    ("places", "kept"),
    [
        ({"JAX_COMPILATION_CACHE_DIR": "given", "XDG_CACHE_HOME": "home"}, "given"),
        ({"XDG_CACHE_HOME": "home"}, "home/onset"),
        ({"HOME": "."}, ".cache/onset"),
    ],
)
def test_small_programs_are_kept(
    places: dict[str, str], kept: str, tmp_path: Path
) -> None:
    # In a process of its own: this one has its cache.
    others = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("JAX_", "XDG_"))
    }
    absolute = {name: str(tmp_path / place) for name, place in places.items()}
    command = [sys.executable, "-c", COMPILE]
    env = others | {"PYTHONPATH": str(ROOT)} | absolute
    subprocess.run(command, env=env, check=True, capture_output=True)
    assert any(path.name.endswith("-cache") for path in (tmp_path / kept).iterdir())
    assert list(tmp_path.iterdir()) == [tmp_path / kept.split("/")[0]]


Usage = collections.namedtuple("Usage", "total used free")
SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)


@pytest.fixture
def without_cache() -> Iterator[None]:
    before = {name: jax.config.values[name] for name in SETTINGS}
    jax.config.update(SETTINGS[0], None)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.mark.usefixtures("without_cache")
def test_nowhere_without_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    full = Usage(1e12, 1e12, SPARE_BYTES - 1)
    monkeypatch.setattr(compilation.shutil, "disk_usage", lambda _: full)
    keep_compiled()
    assert jax.config.values[SETTINGS[0]] is None


@pytest.mark.usefixtures("without_cache")
def test_nowhere_without_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    keep_compiled()
    assert jax.config.values[SETTINGS[0]] is None
