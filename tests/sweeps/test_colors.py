"""One colour a router, which people with colour vision deficiencies tell apart."""

import itertools

import numpy as np
import pytest

from routers import ROUTERS
from routers.pretrained.model import FAMILIES
from sweeps.colors import OTHER, ROUTER_COLORS, looks, router_color

# G. M. Machado, M. M. Oliveira and L. A. F. Fernandes, IEEE TVCG 15 (2009), table 1:
# severity 1, on linear RGB.
SEEN = {
    "all": np.eye(3),
    "no red": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no green": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "no blue": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def lab(color: str, seen: object) -> np.ndarray:
    """CIELAB of a colour as somebody sees it, under D65."""
    plain = np.asarray([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(plain > 0.04045, ((plain + 0.055) / 1.055) ** 2.4, plain / 12.92)
    linear = np.clip(np.asarray(seen) @ linear, 0, 1)
    xyz = (
        np.asarray(
            [
                [0.4124564, 0.3575761, 0.1804375],
                [0.2126729, 0.7151522, 0.0721750],
                [0.0193339, 0.1191920, 0.9503041],
            ]
        )
        @ linear
    )
    scaled = xyz / [0.95047, 1.0, 1.08883]
    f = np.where(
        scaled > 216 / 24389, np.cbrt(scaled), (24389 / 27 * scaled + 16) / 116
    )
    return np.asarray([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("eyes", SEEN)
def test_any_two_colours_are_told_apart(eyes: str) -> None:
    colors = sorted({*ROUTER_COLORS.values(), OTHER})
    for one, other in itertools.combinations(colors, 2):
        apart = np.linalg.norm(lab(one, SEEN[eyes]) - lab(other, SEEN[eyes]))
        assert apart > 9, (one, other, apart)  # 2.3 is just noticeable


def test_every_router_has_a_colour_and_others_share_one() -> None:
    assert ROUTERS.keys() | FAMILIES.keys() <= ROUTER_COLORS.keys()
    assert router_color("somebody's own") == OTHER


def test_sweeps_of_one_colour_differ_in_line_and_marker() -> None:
    first, second, other = looks(["attention", "gpt2", "retention"])
    assert first.color == second.color != other.color
    assert first.line != second.line and first.marker != second.marker
    assert (other.line, other.marker) == (first.line, first.marker)
