"""Attention against GPT-2 and GPT-NeoX (fixtures/make_attention.py)."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from routers.attention import Attention, AttentionConfig
from routers.base import causal_geometry, neutral_knobs
from routers.pretrained.gpt2 import gpt2_variables
from routers.pretrained.gpt_neox import gpt_neox_variables
from tests import ROOT

FIXTURES = ROOT / "tests" / "fixtures"
FAMILIES = {
    "gpt2_attention": (gpt2_variables, False),
    "neox_attention": (gpt_neox_variables, True),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_matches_the_published_layer(name: str) -> None:
    data = dict(np.load(FIXTURES / f"{name}.npz"))
    read, rotary = FAMILIES[name]
    batch, length, width = data["x"].shape
    heads = int(data["heads"])
    router: Any = Attention(width, AttentionConfig(heads=heads, rotary=rotary))
    geometry, knobs = causal_geometry(length), neutral_knobs(router)

    def run(module: Any, x: jnp.ndarray) -> tuple[Any, Any, Any]:
        features = module.project(x)
        weights = module.route(features, geometry, knobs).weights
        return module.mix(features, geometry, knobs), weights, features.value

    variables = read(data, heads)
    y, weights, value = router.apply(variables, jnp.asarray(data["x"]), method=run)
    context = jnp.einsum("bhts,bshk->bthk", weights, value)
    context = context.reshape(batch, length, width)
    np.testing.assert_allclose(weights, data["attention"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(context, data["context"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(y, data["output"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("read", "bias"),
    [(gpt2_variables, "c_attn.bias"), (gpt_neox_variables, "dense.bias")],
)
def test_a_bias_without_a_place_is_refused(read: Any, bias: str) -> None:
    with pytest.raises(ValueError, match=f"{bias}: must be zero"):
        read({bias: np.ones(3)}, 1)
