"""The reader of docs/add_a_checkpoint.md, against the formulas and against typeseg."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from routers.base import neutral_knobs
from routers.pretrained import open_model
from routers.signature.rank_ratio import mixed_of
from tests import ROOT

OUTSIDE = ROOT / "tests" / "outside"
READER = "bidirectional_mamba:read"
WIDTH, STATE, RANK, WINDOW, CLASSES, TOKENS, LAYERS = 6, 3, 2, 4, 5, 9, 2


@pytest.fixture(autouse=True)
def reader_is_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(OUTSIDE))


def random_weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.5, shape).astype(np.float32)

    def norm(prefix: str) -> dict[str, np.ndarray]:
        return {f"{prefix}__scale": 1 + draw(WIDTH), f"{prefix}__bias": draw(WIDTH)}

    def layer(index: int) -> dict[str, np.ndarray]:
        sizes = [(WIDTH, 2 * WIDTH), (WIDTH, RANK + 2 * STATE), (RANK, WIDTH)]
        own: dict[str, np.ndarray] = {"A_log": draw(WIDTH, STATE), "D": draw(WIDTH)}
        for number, (rows, columns) in enumerate([*sizes, (WIDTH, WIDTH)]):
            own[f"Dense_{number}__kernel"] = draw(rows, columns)
            own[f"Dense_{number}__bias"] = draw(columns)
        own["Conv_0__kernel"], own["Conv_0__bias"] = draw(WINDOW, 1, WIDTH), draw(WIDTH)
        own |= norm("LayerNorm_0")
        return {f"CheckpointMambaBlock1D_{index}__{k}": v for k, v in own.items()}

    weights = {"Embed_0__embedding": draw(TOKENS, WIDTH)} | norm("LayerNorm_0")
    weights |= {"Dense_0__kernel": draw(WIDTH, CLASSES), "Dense_0__bias": draw(CLASSES)}
    for index in range(LAYERS):
        weights |= layer(index)
    return weights


def reference(weights: dict[str, np.ndarray], tokens: np.ndarray) -> np.ndarray:
    """Logits ``[T, C]`` in float64, position by position, as typeseg computes them."""
    w = {name: array.astype(np.float64) for name, array in weights.items()}

    def norm(x: np.ndarray, prefix: str) -> np.ndarray:
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
        return x * w[f"{prefix}LayerNorm_0__scale"] + w[f"{prefix}LayerNorm_0__bias"]

    def dense(x: np.ndarray, name: str) -> np.ndarray:
        return x @ w[f"{name}__kernel"] + w[f"{name}__bias"]

    def silu(x: np.ndarray) -> np.ndarray:
        return x / (1 + np.exp(-x))

    def scan(u: Any, dt: Any, write: Any, read: Any, rate: Any, skip: Any) -> Any:
        state, rows = np.zeros(rate.shape), []
        for now in range(len(u)):
            decay = np.exp(dt[now][:, None] * rate)
            state = decay * state + (u[now] * dt[now])[:, None] * write[now][None]
            rows.append(state @ read[now] + u[now] * skip)
        return np.stack(rows)

    x = w["Embed_0__embedding"][tokens]
    for index in range(LAYERS):
        p = f"CheckpointMambaBlock1D_{index}__"
        u, gate = np.split(dense(norm(x, p), f"{p}Dense_0"), 2, axis=-1)
        padded = np.pad(u, ((1, 2), (0, 0)))
        kernel = w[f"{p}Conv_0__kernel"][:, 0]
        u = sum(padded[j : j + len(u)] * kernel[j] for j in range(WINDOW))
        u = silu(u + w[f"{p}Conv_0__bias"])
        low, write, read = np.split(
            dense(u, f"{p}Dense_1"), [RANK, RANK + STATE], axis=-1
        )
        dt = np.logaddexp(0, dense(low, f"{p}Dense_2")) + 1e-4
        along, fixed = (u, dt, write, read), (-np.exp(w[f"{p}A_log"]), w[f"{p}D"])
        y = scan(*along, *fixed) + scan(*(a[::-1] for a in along), *fixed)[::-1]
        x = x + dense(y * silu(gate), f"{p}Dense_3")
    return dense(norm(x, ""), "Dense_0")


def test_the_page_shows_the_reader_as_it_is() -> None:
    page = (ROOT / "docs" / "add_a_checkpoint.md").read_text()
    shown = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert shown[0] == (OUTSIDE / "bidirectional_mamba.py").read_text()


def test_logits_are_those_of_the_formulas(tmp_path: Path) -> None:
    weights = random_weights()
    np.savez(tmp_path / "weights.npz", **weights)
    model = open_model(tmp_path / "weights.npz", groups=2, reader=READER)
    tokens = np.arange(11)[None] % TOKENS
    found = model.run(tokens)
    wanted = reference(weights, tokens[0])
    np.testing.assert_allclose(found.logits[0], wanted, rtol=1e-4, atol=1e-5)
    weights_found = np.asarray(found.routing.weights)
    assert weights_found.shape == (LAYERS, 1, model.sizes.heads, 11, 11)
    assert not np.triu(weights_found[:, :, :2], 1).any()
    assert not np.tril(weights_found[:, :, 2:], -1).any()
    assert model.tokenizer().encode("aé") == [97, 128, 128]
    assert not model.predicts


def test_its_router_reports_what_it_mixes(tmp_path: Path) -> None:
    np.savez(tmp_path / "weights.npz", **random_weights())
    model = open_model(tmp_path / "weights.npz", groups=WIDTH, reader=READER)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 5, WIDTH)), jnp.float32)
    geometry, knobs = model.geometry(5), neutral_knobs(model.router)

    @jax.jit
    def measure(params: Any) -> Any:
        router = model.router.bind({"params": params["router"]})
        features = router.project(x)
        routing = router.route(features, geometry, knobs)
        return mixed_of(router, features, routing, geometry, knobs).matrix, routing

    matrix, routing = measure(model.read_layer(0))
    size = np.abs(matrix[:, :, 0])  # one channel a group, in each direction
    shares = size / size.sum(-1, keepdims=True)
    np.testing.assert_allclose(routing.weights, shares, rtol=1e-5, atol=1e-6)
    mass = shares.sum(-2)[:, :, None]
    np.testing.assert_allclose(routing.channel_mass, mass, rtol=1e-5, atol=1e-6)


def test_a_truncated_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    np.savez(path, **random_weights())
    path.write_bytes(path.read_bytes()[:-99])
    with pytest.raises(ValueError, match="is no whole npz file"):
        open_model(path, reader=READER)


@pytest.mark.skipif(not importlib.util.find_spec("typeseg"), reason="needs typeseg")
def test_typesegs_own_forward() -> None:
    import typeseg
    from typeseg import _mamba_kernel

    path = Path(typeseg.__file__).parent / "data" / "mamba_al.npz"
    model = open_model(path, reader=READER)
    tokens = np.asarray(model.tokenizer().encode('def f(x):\n    return {"a": x}\n'))
    with np.load(path) as arrays:
        own = {n.replace("__", "/"): a for n, a in arrays.items()}
    wanted = _mamba_kernel.mamba_forward(np, own, tokens)
    found = np.asarray(model.run(tokens[None]).logits[0])
    assert np.abs(found - wanted).max() < 1e-4 * np.abs(wanted).max()
