"""RWKV4 against Transformers' attention block; see fixtures/make_rwkv.py."""

from typing import Any

import jax
import numpy as np
import pytest

from routers.base import causal_geometry, neutral_knobs
from routers.pretrained.rwkv import TABLE, router_params
from routers.rwkv import RWKV4, RWKV4Config
from tests import ROOT

FIXTURE = ROOT / "tests" / "fixtures" / "rwkv.npz"


@pytest.fixture(scope="module")
def published() -> Any:
    with np.load(FIXTURE) as arrays:
        return dict(arrays)


@pytest.mark.parametrize("method", ["mix", "explicit"])
@pytest.mark.parametrize("heads", [1, 4])
def test_output_is_the_published_one(published: Any, heads: int, method: str) -> None:
    x, wanted = published["x"], published["y"]
    router = RWKV4(width=x.shape[-1], config=RWKV4Config(heads=heads))
    knobs = neutral_knobs(router)

    def run(module: Any, x: Any) -> Any:
        features = module.project(x)
        geometry = causal_geometry(x.shape[1])
        return getattr(module, method)(features, geometry, knobs)

    params = {"params": router_params(published, heads)}
    y = np.asarray(router.apply(params, x, method=run))
    assert y.dtype == wanted.dtype
    # Relative to the output's size: single entries cancel across channels.
    assert np.abs(y - wanted).max() < 1e-5 * np.abs(wanted).max()


def test_table_names_every_parameter_of_both_sides(published: Any) -> None:
    router = RWKV4(width=32)
    x, geometry = published["x"], causal_geometry(published["x"].shape[1])
    ours = router.init(jax.random.key(0), x, geometry, neutral_knobs(router))["params"]
    assert set(TABLE) == set(ours)
    theirs = {name for parts in TABLE.values() for name in parts}
    assert theirs | {"x", "y"} == set(published)
    made = router_params(published)
    assert {k: v.shape for k, v in made.items()} == {
        k: v.shape for k, v in ours.items()
    }


@pytest.mark.parametrize("name", ["time_decay", "time_first"])
def test_decay_and_bonus_matter_in_the_fixture(published: Any, name: str) -> None:
    router = RWKV4(width=32)
    x, geometry = published["x"], causal_geometry(published["x"].shape[1])
    params = router_params(published)
    params[name] = params[name] + 0.1
    y, _ = router.apply({"params": params}, x, geometry, neutral_knobs(router))
    assert np.abs(y - published["y"]).max() > 1e-2
