"""The width is the fastest of those that fit, and a stopped sweep keeps its own."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ml_collections import ConfigDict
from rich.console import Console

from configs import attention
from sweeps import pipeline
from sweeps.design.experiment import build_experiment
from sweeps.engine import vmap_width
from sweeps.engine.vmap_width import Timing, choose_width, fastest, try_width, widths
from sweeps.pipeline import sweep
from sweeps.runtime.placement import Placement
from sweeps.storage.workdir import read_manifest

LAYOUT = {"devices": 2, "width": 2, "data": 1}
pytestmark = pytest.mark.usefixtures("undrawn")


def configure(overrides: dict[str, Any], **more: Any) -> ConfigDict:
    config = attention.get_config()
    config.update_from_flattened_dict(overrides | more)
    return config


def full(*_: Any) -> None:
    raise OSError("full")


@given(st.integers(1, 5000))
def test_widths_grow_up_to_all_members(members: int) -> None:
    tried = list(widths(members))
    assert tried[-1] == members
    assert tried == sorted(set(tried))
    assert len(tried) <= 2 + np.log(members) / np.log(4)


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=6), st.integers(0, 6))
def test_the_fastest_that_fits_is_found_unless_two_in_a_row_were_no_better(
    seconds: list[float], fit: int
) -> None:
    tried: list[int] = []

    def attempt(index: int) -> Timing | None:
        tried.append(index)
        return Timing(index, seconds[index]) if index < fit else None

    found = fastest(range(len(seconds)), attempt)
    assert [one.width for one in found] == list(range(len(found)))
    assert len(found) <= fit
    best = np.minimum.accumulate([np.inf, *seconds])
    better = [s * vmap_width.WORTH < b for s, b in zip(seconds, best, strict=False)]
    stopped = len(found) < min(fit, len(seconds))
    assert stopped == (stopped and not any(better[len(found) - 2 : len(found)]))
    assert len(tried) <= len(found) + 1


def test_real_steps_are_timed_and_what_does_not_fit_is_left_out(
    tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = build_experiment(configure(tiny))
    timing = try_width(experiment, Placement(2, 2))
    assert timing.width == 2
    assert 0 < timing.seconds < 60
    assert choose_width(experiment, Placement(2, 1))[0] == 1  # on a CPU
    monkeypatch.setattr(vmap_width, "_device_bytes", lambda: 1000.0)
    assert try_width(experiment, Placement(2, 2)) is None
    monkeypatch.setattr("jax.default_backend", lambda: "tpu")
    assert choose_width(experiment, Placement(2, 1)) == (
        1,
        "one member at a time, the most that fits",
    )
    monkeypatch.setattr(
        vmap_width, "try_width", lambda _, one: Timing(one.width, 1 / one.width)
    )
    width, why = choose_width(experiment, Placement(2, 1))
    assert width == 3  # 6 members on 2 devices
    assert "3 members at once, fastest of those timed" in why


def test_it_is_said_recorded_and_kept(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vmap_width, "choose_width", lambda *_: (2, "two, for a test"))
    workdir = tmp_path / "sweep"
    console = Console(file=io.StringIO(), width=200)
    config = configure(tiny, **{"eval.diagnosed": 0, "sweep.width": 0})
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "write", full)
        with pytest.raises(OSError, match="full"):
            sweep(config, workdir, console)
    assert "placement: two, for a test" in console.file.getvalue()
    assert read_manifest(workdir)["placement"] == LAYOUT
    monkeypatch.setattr(vmap_width, "choose_width", lambda *_: pytest.fail("kept"))
    sweep(config, workdir, console)
    assert "2 at once on each, as before" in console.file.getvalue()
    assert read_manifest(workdir)["placement"] == LAYOUT
