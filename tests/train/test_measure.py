"""Targets of one kind are measured apart, and as their definitions say."""

from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from routers import Routing, causal_geometry
from routers.base import Geometry
from sweeps.inference.snapshot import LOSS, summarize
from tests.routers.signature import signature_reference as reference
from train.backbone import IGNORED, surprise
from train.measure import of_kinds
from train.residual import Trace
from train.tasks import Kind, kinds_of
from train.tasks.bigram_backcopy import BigramBackcopy

T, V, LAYERS, HEADS = 12, 5, 2, 3


def softmax(logits: np.ndarray) -> np.ndarray:
    exp = np.exp(logits - logits.max(-1, keepdims=True))
    return exp / exp.sum(-1, keepdims=True)


@pytest.fixture(scope="module")
def drawn() -> dict[str, np.ndarray]:
    """Logits, targets, weights and kinds as float32 holds them, in float64."""
    g = np.random.default_rng(0)
    scores = np.where(np.tri(T), 3 * g.normal(size=(LAYERS, HEADS, T, T)), -np.inf)
    targets = g.integers(V, size=T)
    targets[4] = IGNORED
    truth = g.uniform(0.05, 3, size=T)
    return {
        "logits": (3 * g.normal(size=(T, V))).astype(np.float32).astype(float),
        "targets": targets,
        "weights": softmax(scores).astype(np.float32).astype(float),
        "truth": truth.astype(np.float32).astype(float),
        "chosen": (g.random(T) < 0.5) | (np.arange(T) == 4),
    }


def measured(drawn: dict[str, np.ndarray], kind: str, **of: Kind) -> dict[str, float]:
    weights = jnp.asarray(drawn["weights"], jnp.float32)[:, None]
    traces = [Trace(Routing(layer), jnp.zeros((1, T, 2))) for layer in weights]
    targets = jnp.asarray(drawn["targets"])
    surprises = surprise(jnp.asarray(drawn["logits"], jnp.float32), targets)
    geometry: Geometry = causal_geometry(T).replace(kind=kind)
    return of_kinds(of, surprises, targets, geometry, traces)


def test_kinds_agree_with_the_reference(drawn: dict[str, np.ndarray]) -> None:
    chosen = jnp.asarray(drawn["chosen"])
    truth = jnp.asarray(drawn["truth"], jnp.float32)
    found = measured(drawn, "causal", some=Kind(chosen, truth), others=Kind(~chosen))
    for name, mask in (("some", drawn["chosen"]), ("others", ~drawn["chosen"])):
        loss, excess = reference.losses_of_kind(
            drawn["logits"], drawn["targets"], mask, drawn["truth"]
        )
        np.testing.assert_allclose(found[f"loss/held_out/{name}"], loss, rtol=1e-5)
        if name == "some":
            np.testing.assert_allclose(found["loss/excess/some"], excess, rtol=1e-5)
        mass = [
            [reference.first_source_mass(a, mask) for a in layer]
            for layer in drawn["weights"]
        ]
        np.testing.assert_allclose(
            found[f"concentration/first_source/{name}"], mass, rtol=1e-5
        )
    assert "loss/excess/others" not in found  # its true distribution is not known


def test_a_kind_that_does_not_occur_is_nan(drawn: dict[str, np.ndarray]) -> None:
    never = Kind(jnp.zeros(T, bool), jnp.zeros(T))
    found = measured(drawn, "causal", never=never)
    assert set(found) == {
        "loss/held_out/never",
        "loss/excess/never",
        "concentration/first_source/never",
    }
    assert all(np.isnan(value).all() for value in found.values())


def test_only_sequences_have_a_first_source(drawn: dict[str, np.ndarray]) -> None:
    every = Kind(jnp.ones(T, bool))
    assert set(measured(drawn, "graph", every=every)) == {"loss/held_out/every"}


def test_a_task_without_kinds_has_none() -> None:
    table = jnp.zeros((8, 8))
    task = BigramBackcopy(first=table[0], rows=table, triggers=2, length=T)
    batch = jnp.zeros((2, 2, T), int)
    assert set(kinds_of(task, *batch)) == {"backcopy", "bigram"}
    plain: Any = SimpleNamespace(sample=task.sample, held_out=task.held_out)
    assert kinds_of(plain, *batch) == {}


def test_sequences_without_a_kind_are_left_out_of_its_mean() -> None:
    loss = np.asarray([[[1.0, np.nan, 3.0]]])
    mass = np.full((1, 1, 3, 2, 2), np.nan)
    mass[0, 0, 0], mass[0, 0, 2] = 0.2, [[0.4, 0.4], [0.4, 0.8]]
    measures = {
        f"{LOSS}/ratio": loss,
        "concentration/first_source/ratio": mass,  # a kind may have any name
        LOSS: loss,
    }
    found = summarize(1, measures, np.zeros(1), np.full(1, -1))
    np.testing.assert_allclose(found.model[f"{LOSS}/ratio"], [[2.0]])
    np.testing.assert_allclose(found.model["concentration/first_source/ratio"], [[0.5]])
    assert np.isnan(found.model[LOSS]).all()  # of a member that diverged
