"""Every family against transformers; see tests/fixtures/make_pretrained.py."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from routers.base import neutral_knobs
from routers.pretrained import FAMILIES, Model, open_model
from tests import ROOT

FOLDER = ROOT / "tests" / "fixtures" / "pretrained"
MODELS = sorted(path.name for path in FOLDER.iterdir() if path.suffix != ".npz")


def open_fixture(name: str, **settings: Any) -> tuple[Model, dict[str, np.ndarray]]:
    path = FOLDER / name
    wanted = FOLDER / "llama_gguf.npz" if path.is_file() else path / "expected.npz"
    with np.load(wanted) as arrays:
        return open_model(path, **settings), dict(arrays)


def assert_close(found: Any, wanted: np.ndarray, tolerance: float = 1e-5) -> None:
    """Relative to the largest entry: single entries pass through zero."""
    found = np.asarray(found)
    assert found.shape == wanted.shape and found.dtype == wanted.dtype == np.float32
    assert np.abs(found - wanted).max() < tolerance * np.abs(wanted).max()


def test_every_family_has_a_fixture() -> None:
    families = {open_model(FOLDER / name).family for name in MODELS}
    assert families == set(FAMILIES) - {"qwen2"}  # Llama with biases


@pytest.mark.parametrize("name", MODELS)
def test_gives_what_transformers_gives(name: str) -> None:
    model, wanted = open_fixture(name)
    found = model.run(wanted["tokens"])
    assert_close(model.hidden(found.streams), wanted["streams"])
    if "attention" in wanted:
        assert_close(found.routing.weights, wanted["attention"])
        assert found.routing.weights.shape[2] == model.sizes.heads
    if "logits" in wanted:
        assert_close(found.logits, wanted["logits"])
    else:
        assert found.logits is None and model.family == "bert"


def test_attention_over_depth_is_recorded() -> None:
    model, wanted = open_fixture("qwen3_attnres")
    depth = model.run(wanted["tokens"]).streams
    weights, seen = np.asarray(depth.weights[-1]), np.asarray(depth.seen[-1])
    assert not weights[..., ~seen].any() and (weights[..., seen] > 0).all()
    for reading, row in enumerate(seen):
        published = np.moveaxis(wanted[f"depth_{reading}"], 0, -1)  # [B, T, sources]
        newest = row[:-1].sum() - 1
        if not row[-1]:  # there the running state is the newest block once more
            published[..., newest] += published[..., -1]
        found = weights[:, :, reading]
        assert_close(found[..., : newest + 1], published[..., : newest + 1])
        if row[-1]:
            assert_close(found[..., -1], published[..., -1])


def test_a_block_is_its_parts() -> None:
    model, wanted = open_fixture("llama")
    params, stream = model.read_layer(1), jnp.asarray(wanted["streams"][1])
    geometry, knobs = model.geometry(stream.shape[1]), neutral_knobs(model.router)

    @jax.jit
    def by_parts(params: Any, stream: jax.Array) -> jax.Array:
        x, own = model.read(params, stream), {"params": params["router"]}
        features = model.router.apply(own, x, method="project")
        stages = (own, features, geometry, knobs)
        y: Any = model.router.apply(*stages, method="mix")
        return model.write(params, stream, y)

    assert_close(by_parts(params, stream), wanted["streams"][2])


def test_layers_are_loaded_when_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = open_fixture("llama")
    tensors, loaded = model.network.tensors, list[str]()
    real = tensors._load

    def load(name: str) -> np.ndarray:
        loaded.append(name)
        return real(name)

    monkeypatch.setattr(tensors, "_load", load)
    params = model.read_layer(2)
    assert len(loaded) == 9 and all(n.startswith("model.layers.2.") for n in loaded)
    shapes = jax.tree.map(jnp.shape, params)
    assert shapes == jax.tree.map(jnp.shape, model.read_layer(0))


def test_matrices_are_read_in_bfloat16() -> None:
    model, wanted = open_fixture("gpt_neox", dtype="bfloat16")
    params = model.read_layer(0)
    assert params["mlp"]["up"].dtype == params["router"]["qkv"].dtype == jnp.bfloat16
    assert params["router_norm"]["gain"].dtype == jnp.float32
    found = model.run(wanted["tokens"])
    assert found.streams.dtype == found.routing.weights.dtype == jnp.float32
    assert_close(found.logits, wanted["logits"], tolerance=0.05)


def test_the_tokenizer_of_a_gguf_file() -> None:
    model, _ = open_fixture("llama.gguf")
    tokenizer = model.tokenizer()
    text = "the th the"
    assert tokenizer.encode(text) == [29, 27, 28, 30]  # the, space, th, space-the
    assert tokenizer.prefix == (0,) and tokenizer.suffix == ()
