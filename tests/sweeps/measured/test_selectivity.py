"""Published state spaces, frozen at the means of their factors over the windows."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from routers.base import neutral_knobs
from routers.pretrained import Model, open_model
from routers.state_space import FACTORS
from sweeps.measured.passes import Passes
from sweeps.measured.rows import Row
from sweeps.measured.windows import Windows
from tests import ROOT
from tests.routers.state_space_reference import reference_output
from train.published import average_layer, freeze, freezes

FOLDER = ROOT / "tests" / "fixtures" / "pretrained"
LENGTH = 12
TOKENS = np.random.default_rng(0).integers(0, 48, (2, LENGTH)).astype(np.int32)


@functools.cache
def block_of(family: str) -> Any:
    return jax.jit(opened(family)[0].block)


@functools.cache
def opened(family: str) -> tuple[Model, list[Any], list[Any]]:
    """A model, the streams before its layers, and its layers, frozen at their means."""
    model = open_model(FOLDER / family)
    average = jax.jit(functools.partial(average_layer, model))
    stream = model.embed(model.read_embedding(), jnp.asarray(TOKENS))
    streams, layers = [], []
    for index in range(model.sizes.layers):
        params = model.read_layer(index)
        streams.append(stream)
        stream, means = average(params, stream, model.geometry(LENGTH))
        layers.append(freeze(params, means))
    return model, [*streams, stream], layers


@pytest.mark.parametrize("family", ["mamba", "mamba2"])
def test_constants_are_means_over_all_windows_as_published(family: str) -> None:
    model, streams, layers = opened(family)
    knobs, stream = neutral_knobs(model.router), streams[0]
    for index, params in enumerate(layers):
        own = {"params": params["router"]}
        x = model.read(params, stream)
        features = model.router.apply(own, x, method="project")
        for factor in FACTORS:
            all_windows = np.asarray(getattr(features, factor), np.float64)
            constant = np.asarray(params["router"][f"frozen_{factor}"], np.float64)
            if factor == "step":
                constant = np.log1p(np.exp(constant))
            mean = all_windows.mean((0, 1)).reshape(constant.shape)
            np.testing.assert_allclose(constant, mean, rtol=1e-4, atol=1e-6)
        published = model.read_layer(index)
        stream, *_ = block_of(family)(published, stream, model.geometry(LENGTH), knobs)


@pytest.mark.parametrize("family", ["mamba", "mamba2"])
@pytest.mark.parametrize("factor", ["", *(f"_{name}" for name in FACTORS)])
def test_frozen_layers_are_the_float64_loop(family: str, factor: str) -> None:
    model, streams, layers = opened(family)
    knobs = neutral_knobs(model.router) | {f"selectivity{factor}": jnp.float32(0)}
    own = {"params": layers[1]["router"]}
    x = model.read(layers[1], streams[1])
    found, _ = model.router.apply(own, x, model.geometry(LENGTH), knobs)
    wanted = reference_output(model.router, own, x, knobs)
    limit = 1e-4 * np.abs(wanted).max()
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=limit)


@pytest.mark.parametrize("family", ["mamba", "mamba2"])
def test_constants_change_no_bit_of_the_model_as_published(family: str) -> None:
    model, streams, layers = opened(family)
    block, knobs = block_of(family), neutral_knobs(model.router)
    frozen, published = (
        block(params, streams[0], model.geometry(LENGTH), knobs)
        for params in (layers[0], model.read_layer(0))
    )
    jax.tree.map(np.testing.assert_array_equal, frozen, published)


def test_a_pass_with_a_frozen_factor_has_the_constants_of_every_layer() -> None:
    model, streams, layers = opened("mamba")
    values = {name: knob.neutral for name, knob in model.router.knobs.items()}
    assert not freezes(model, values)
    values["selectivity_step"] = 0.0
    row = Row("", 0, tuple(sorted(values.items())))
    knobs = {name: jnp.float32(value) for name, value in values.items()}
    stream = streams[0]
    for params in layers:
        stream, *_ = block_of("mamba")(params, stream, model.geometry(LENGTH), knobs)
    logits = np.asarray(model.logits(model.read_head(), stream), np.float64)[:, :-1]
    logits -= np.log(np.exp(logits).sum(-1, keepdims=True))
    right = np.take_along_axis(logits, TOKENS[:, 1:, None], -1)[..., 0]
    found = Passes(model, Windows(TOKENS, 1), 0).run(row, lambda index: None)
    np.testing.assert_allclose(found["loss/held_out"], -right.mean(1), rtol=1e-5)
