"""All tests run on two host devices, as a sweep on two cores does."""

import contextlib
import ctypes
import functools
import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from tests import QUICK_COMPILATION


def pytest_configure(config: pytest.Config) -> None:
    """Sets up devices and compile cache; before any test module loads JAX."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as `sweeps.main` does
    if not hasattr(config, "workerinput"):  # workers inherit what their parent sets
        given = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{given} {QUICK_COMPILATION}".strip()
        share_compiled(config)
    from sweeps.runtime.placement import claim_cores

    claim_cores(2)


def share_compiled(config: pytest.Config) -> None:
    """What one test has compiled, others read, in all workers and their processes.

    The folder is this run's own: no earlier run takes part, nothing is left behind.
    """
    folder = tempfile.mkdtemp(prefix="onset-tests-")
    config.add_cleanup(functools.partial(shutil.rmtree, folder, ignore_errors=True))
    os.environ |= {
        "JAX_ENABLE_COMPILATION_CACHE": "true",
        "JAX_COMPILATION_CACHE_DIR": folder,
        "XDG_CACHE_HOME": folder,  # where routers that passed are remembered
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


@pytest.fixture(autouse=True, scope="module")
def forget_compiled() -> Iterator[None]:
    """Frees what a file has compiled, which would add up to gigabytes in a worker."""
    yield
    jax = sys.modules.get("jax")
    if jax is not None:
        jax.clear_caches()
        gc.collect()
        with contextlib.suppress(AttributeError, OSError, TypeError):
            ctypes.CDLL(None).malloc_trim(0)  # glibc keeps freed memory otherwise


@pytest.fixture(scope="module")
def undrawn() -> Iterator[None]:
    """Leaves the figures out of a file's sweeps: half the time of a compiled one.

    For tests whose claims do not depend on them; `test_pipeline` shows that a sweep
    draws them all. A figure that fails is a warning, so a test that reads no figure
    and no warning proves the same without them.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sweeps.report.figures.draw_figures", lambda *_: [])
        yield


@pytest.fixture(scope="session")
def tiny() -> dict[str, Any]:
    """Overrides that make a sweep of a few seconds."""
    return {
        "sweep.num": 2,
        "sweep.seeds": 2,
        "sweep.low": 0.03,
        "sweep.high": 3.0,
        "model.width": 16,
        "train.steps": 6,
        "train.batch": 4,
        "train.length": 12,
        "task.symbols": 8,
        "task.triggers": 2,
        "eval.points": 2,
        "eval.sequences": 4,
        "eval.diagnosed": 0,  # compiling it takes longer than all the rest
        "wandb.mode": "disabled",
    }
