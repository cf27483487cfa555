"""What a sweep compiles is kept where the user says, else in the home directory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMPILE = """
import jax
from sweeps.compilation import keep_compiled
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
