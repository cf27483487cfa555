"""Plots: where 0 stands, what is packed and unpacked, and what plotly would read."""

import base64

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as extra

from sweeps.page.plots import between, knob_axis, knob_trace, label, packed, shades
from sweeps.report.knob_axis import KnobScale


@given(
    extra.arrays(
        np.float32,
        extra.array_shapes(min_dims=3, max_dims=3, max_side=4),
        elements=st.floats(-1e3, 1e3, width=32) | st.just(float("nan")),
    )
)
def test_matrices_come_back_to_within_their_step(frames: np.ndarray) -> None:
    found = packed(frames)
    numbers = np.frombuffer(base64.b64decode(found["bytes"]), np.int8)
    back = np.where(numbers == -128, np.nan, numbers * found["peak"] / 127)
    back = back.reshape(found["shape"])
    assert (np.isnan(back) == np.isnan(frames)).all()
    step = found["peak"] / 254
    np.testing.assert_allclose(back, frames, atol=step * (1 + 1e-4) + 1e-9)


def test_zero_is_kept_left_of_all_others_and_apart() -> None:
    scale = KnobScale(np.asarray([0, 0.03, 0.1, 0.3, 1]))
    axis = knob_axis(scale, "token.brake")
    assert axis["texts"][0] == "0"
    assert axis["ticks"][0] < axis["gap"] < axis["ticks"][1]
    trace = knob_trace(scale, [0, 0.1], [1, 2], 4, "seed", shift=[0.1, 0])
    assert axis["range"][0] < trace["x"][0] < axis["gap"]
    assert trace["x"][1] == -1
    assert trace["meta"]["linear"][1] == 0.1
    assert trace["customdata"] == [0, 0.1]
    without = knob_axis(KnobScale(np.asarray([0.03, 0.1])), "x")
    assert without["gap"] is None
    assert "0" not in without["texts"]


def test_names_are_text_for_plotly_and_short() -> None:
    assert label("<a href='x'>&b") == "&lt;a href='x'&gt;&amp;b"
    assert len(label("n" * 500)) <= 42


def test_error_bars_lead_to_the_ends_or_nowhere() -> None:
    bars = between([0.5, 0.5], [0.25, np.nan], [1.0, np.nan], "red")
    assert bars["array"] == [0.5, None]
    assert bars["arrayminus"] == [0.25, None]


def test_shades_are_different_colours() -> None:
    for count in (1, 2, 7, 30):
        assert len(set(shades(count))) == count
