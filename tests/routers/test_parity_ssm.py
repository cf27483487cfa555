"""Both state-space routers against published code, on stored random mixers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from routers.base import Router, causal_geometry, neutral_knobs
from routers.pretrained.mamba import MAMBA, MAMBA2, Table, mixer_parameters
from routers.selective_ssm import SelectiveSSM, SelectiveSSMConfig
from routers.ssd import SSD, SSDConfig
from tests import ROOT

FIXTURES = ROOT / "tests" / "fixtures"

FAMILIES = [
    (
        "mamba.npz",
        SelectiveSSM(16, config=SelectiveSSMConfig(state=8, step_rank=2, groups=4)),
        MAMBA,
        None,
    ),
    (
        "mamba2.npz",
        SSD(16, config=SSDConfig(state=8, heads=4, groups=2, step_limit=(0.01, 1.0))),
        MAMBA2,
        2,
    ),
]


def load(
    name: str, table: Table, groups: int | None
) -> tuple[np.ndarray, np.ndarray, dict]:
    with np.load(FIXTURES / name) as stored:
        arrays = dict(stored)
    x, y = arrays.pop("x"), arrays.pop("y")
    return x, y, mixer_parameters(arrays, table, state=8, groups=groups)


@pytest.mark.parametrize(("name", "router", "table", "groups"), FAMILIES)
@pytest.mark.parametrize("path", ["mix", "explicit"])
def test_agrees_with_the_published_mixer(
    name: str, router: Router, table: Table, groups: int | None, path: str
) -> None:
    x, wanted, params = load(name, table, groups)

    def call(module: Router, x: jax.Array) -> jax.Array:
        arguments = (causal_geometry(x.shape[1]), neutral_knobs(module))
        return getattr(module, path)(module.project(x), *arguments)

    found = np.asarray(router.apply(params, jnp.asarray(x), method=call))
    assert found.dtype == wanted.dtype == np.float32
    # Relative to the scale of the output: single entries pass through zero.
    assert np.abs(found - wanted).max() < 1e-5 * np.abs(wanted).max()
    assert np.std(wanted) > 0.1  # the comparison is not one of noise


@pytest.mark.parametrize(("name", "router", "table", "groups"), FAMILIES)
def test_maps_every_parameter(
    name: str, router: Router, table: Table, groups: int | None
) -> None:
    x, _, params = load(name, table, groups)
    geometry = causal_geometry(x.shape[1])
    own = router.init(jax.random.key(0), x, geometry, neutral_knobs(router))
    shapes = jax.tree.map(jnp.shape, own)
    assert jax.tree.map(jnp.shape, params) == shapes


def test_names_outside_of_the_table_are_refused() -> None:
    with pytest.raises(ValueError, match=r"in_proj\.bias"):
        mixer_parameters({"in_proj.bias": np.zeros(3)}, MAMBA, state=8, groups=None)
