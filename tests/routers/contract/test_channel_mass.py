"""A wrong report of the channels' mass is named, with its place."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from routers import RWKV4
from routers.contract import CHECKS, Specimen, specimen

CHECK = CHECKS["channel_mass_is_that_of_the_fast_path"]
MEAN = "mean of channel_mass, not the column sum of the weights"
CHANNEL = "channel_mass, not the column sum of the matrix that mix applies"
WRONG: dict[str, tuple[Callable[[np.ndarray], np.ndarray | None], str | None]] = {
    "right": (lambda mass: mass, None),
    "not reported": (lambda mass: None, None),
    "channels reversed": (lambda mass: mass[:, :, ::-1], CHANNEL),
    "channels averaged": (lambda mass: mass.mean(2, keepdims=True) + 0 * mass, CHANNEL),
    "two channels exchanged": (lambda mass: mass[:, :, [1, 0, 2, 3]], CHANNEL),
    "sources reversed": (lambda mass: mass[..., ::-1], MEAN),
    "mean weights": (lambda mass: mass / np.arange(mass.shape[-1], 0, -1), MEAN),
    "scaled": (lambda mass: 1.01 * mass, MEAN),
    "shifted": (lambda mass: mass + 1e-2, MEAN),
    "not a number": (lambda mass: mass * np.nan, MEAN),
    "one channel missing": (lambda mass: mass[:, :, :3], MEAN),
    "every channel twice": (lambda mass: mass.repeat(2, 2), "has 8 channels, combine"),
}


@functools.cache
def honest() -> Specimen:
    """RWKV-4 with its anatomies, on short sequences."""
    found = specimen(RWKV4(width=4), "causal")
    short = dataclasses.replace(found, long_x=found.x[:1], long_geometry=found.geometry)
    assert set(short.anatomies) >= {"neutral"}
    return short


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_report_is_named(name: str) -> None:
    change, wanted = WRONG[name]

    def changed(found: dict[str, Any]) -> dict[str, Any]:
        mass = change(found["routing"].channel_mass)
        return found | {"routing": found["routing"].replace(channel_mass=mass)}

    subject = dataclasses.replace(honest())
    subject.anatomies = {
        label: changed(found) for label, found in honest().anatomies.items()
    }
    detail = CHECK(subject)
    assert (detail is None) if wanted is None else (wanted in detail), detail
    assert detail is None or "\n" not in detail
