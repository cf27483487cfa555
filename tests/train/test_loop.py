"""The compiled loop: members do not influence each other, data or initialisation."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from routers import Attention, neutral_knobs
from sweeps.runtime.placement import Placement, make_mesh, make_spread, place, replicate
from train.backbone import Backbone, BackboneConfig, cross_entropy
from train.loop import DATA, EVALUATION, INIT, Loop, seed_keys, stream_key
from train.residual import ResidualSum
from train.step import ALIVE, Member, OptimizerConfig, TrainSpec, TrainState
from train.tasks.bigram_backcopy import (
    BigramBackcopy,
    dirichlet_statistics,
    from_counts,
)

STEPS, BATCH = 8, 4


def make_task(seed: int = 0) -> BigramBackcopy:
    statistics = dirichlet_statistics(8, 0.3, seed)
    return from_counts(*statistics, triggers=2, trigger_mass=0.4, length=12)


def make_members(brakes: list[float], seeds: list[int], rate: float = 1e-2) -> Member:
    count = len(brakes)
    knobs = {
        f"token.{name}": jnp.full(count, value)
        for name, value in neutral_knobs(Attention).items()
    }
    return Member(
        knobs=knobs | {"token.brake": jnp.asarray(brakes, jnp.float32)},
        init_key=seed_keys(0, INIT, jnp.asarray(seeds)),
        stream=jnp.zeros(count, jnp.int32),
        learning_rate=jnp.full(count, rate, jnp.float32),
    )


def make_loop(placement: Placement, steps: int = STEPS, layers: int = 1) -> Loop:
    model = Backbone(
        BackboneConfig(outputs=9, length=12, width=16, layers=layers),
        functools.partial(Attention),
    )
    spec = TrainSpec(model, OptimizerConfig(), steps, BATCH, shares=placement.data)
    return Loop(spec, make_spread(placement, make_mesh(placement)))


def with_router(loop: Loop, router: type[Attention]) -> Loop:
    model = Backbone(loop.spec.model.config, functools.partial(router))
    return dataclasses.replace(loop, spec=dataclasses.replace(loop.spec, model=model))


def streams(count: int = 1) -> jax.Array:
    return seed_keys(0, DATA, jnp.arange(count))


@functools.cache
def compiled(placement: Placement, steps: int) -> tuple[Any, Any]:
    loop = make_loop(placement, steps)
    return jax.jit(loop.init), jax.jit(loop.chunk)


def train(
    members: Member, placement: Placement, steps: int = STEPS, chunks: int = 1
) -> tuple[TrainState, np.ndarray]:
    init, chunk = compiled(placement, steps)
    mesh, losses = make_mesh(placement), []
    members = place(mesh, members)
    task, keys = replicate(mesh, (make_task(), streams()))
    state = init(members, task)
    for index in range(chunks):
        first = replicate(mesh, jnp.int32(index * steps))
        state, loss = chunk(state, members, task, keys, first)
        losses.append(np.asarray(loss))
    return jax.device_get(state), np.concatenate(losses, axis=1)


BRAKES, SEEDS = [0.0, 0.3, 0.0, 3.0], [0, 0, 1, 1]


@functools.cache
def losses_alone(brake: float, seed: int) -> np.ndarray:
    return train(make_members([brake], [seed]), Placement(1, 1))[1][0]


@pytest.mark.parametrize(
    "placement",
    [
        Placement(1, 4),
        Placement(2, 1),
        Placement(2, 2),
        Placement(1, 2),
        Placement(2, 1, data=2),
        Placement(2, 2, data=2),
    ],
)
def test_together_equals_one_by_one(placement: Placement) -> None:
    _, together = train(make_members(BRAKES, SEEDS), placement)
    for member in range(4):
        alone = losses_alone(BRAKES[member], SEEDS[member])
        np.testing.assert_allclose(together[member], alone, rtol=1e-5, atol=1e-6)


def test_chunks_do_not_change_the_data() -> None:
    members = make_members([0.3, 3.0], [0, 1])
    _, whole = train(members, Placement(1, 1))
    _, parts = train(members, Placement(1, 1), steps=2, chunks=STEPS // 2)
    np.testing.assert_allclose(whole, parts, rtol=1e-5, atol=1e-6)


def test_seeds_are_paired_across_values() -> None:
    """One seed starts from the same parameters and sees the same batches."""
    init, _ = compiled(Placement(1, 1), STEPS)
    params = init(make_members(BRAKES, SEEDS), make_task()).params
    for leaf in jax.tree.leaves(params):
        np.testing.assert_array_equal(leaf[0], leaf[1])
        np.testing.assert_array_equal(leaf[2], leaf[3])
    embedding = params["embedding"]
    assert not np.array_equal(embedding[0], embedding[2])
    _, losses = train(make_members([0.3, 0.3], [5, 5]), Placement(1, 1))
    np.testing.assert_array_equal(losses[0], losses[1])


def test_streams_of_randomness_are_separate() -> None:
    keys = [
        jax.random.key_data(stream_key(0, s)).tolist() for s in (INIT, DATA, EVALUATION)
    ]
    assert len({tuple(key) for key in keys}) == 3


def test_data_streams_give_other_batches() -> None:
    members = make_members([0.3, 0.3], [5, 5])
    members = members.replace(stream=jnp.asarray([0, 1], jnp.int32))
    (init, chunk), task = compiled(Placement(1, 1), STEPS), make_task()
    state = init(members, task)
    _, losses = chunk(state, members, task, streams(2), jnp.int32(0))
    assert not np.allclose(losses[0], losses[1])


@dataclasses.dataclass
class Tally:
    count: int = 0


def test_one_trace_serves_every_value_seed_and_table() -> None:
    tally = Tally()

    class Counted(Attention):
        def project(self, x: jax.Array) -> Any:
            tally.count += 1
            return super().project(x)

    loop = with_router(make_loop(Placement(1, 1)), Counted)
    init, chunk = jax.jit(loop.init), jax.jit(loop.chunk)
    members, task = make_members(BRAKES, SEEDS), make_task()
    state = init(members, task)
    before = tally.count
    chunk(state, members, task, streams(), jnp.int32(0))
    once = tally.count - before
    assert once > 0
    other = make_members([9.0, 1.0, 0.5, 0.1], [7, 8, 9, 10], rate=1e-4)
    chunk(init(other, task), other, make_task(seed=3), streams(), jnp.int32(50))
    assert tally.count - before == once


def test_a_diverging_member_freezes_and_leaves_others_alone() -> None:
    wild = make_members([0.3, 0.3], [0, 1])
    wild = wild.replace(learning_rate=jnp.asarray([1e-2, 1e38], jnp.float32))
    state, losses = train(wild, Placement(1, 1))
    calm = losses_alone(0.3, 0)
    np.testing.assert_allclose(losses[0], calm, rtol=1e-5, atol=1e-6)
    assert state.diverged[0] == ALIVE
    assert 0 < state.diverged[1] < STEPS
    for leaf in jax.tree.leaves(state.params):
        assert np.isfinite(leaf).all()
    # More training moves the neighbour and not the frozen member.
    longer, _ = train(wild, Placement(1, 1), chunks=2)
    kernel, later = state.params["embedding"], longer.params["embedding"]
    np.testing.assert_array_equal(kernel[1], later[1])
    assert not np.array_equal(kernel[0], later[0])


def cost_of_training(loop: Loop) -> float:
    members, task = make_members(BRAKES, SEEDS), make_task()
    state = jax.eval_shape(loop.init, members, task)
    arguments = (state, members, task, streams(), jnp.int32(0))
    return jax.jit(loop.chunk).lower(*arguments).compile().cost_analysis()["flops"]


def test_training_never_pays_for_routing_or_the_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The compiled chunk costs the same with a router that cannot route.

    It also costs the same if what is reported of the stream takes much to compute.
    """

    class Blind(Attention):
        def route(self, features: Any, geometry: Any, knobs: Any) -> None:
            return None

    loop = make_loop(Placement(1, 1))
    cost = cost_of_training(with_router(loop, Attention))
    plain = ResidualSum.stream
    monkeypatch.setattr(ResidualSum, "stream", lambda self: jnp.exp(plain(self)) ** 2)
    assert cost_of_training(with_router(loop, Blind)) == cost


def test_measurement_covers_nulls_layers_and_heads() -> None:
    loop, task = make_loop(Placement(1, 1), layers=2), make_task()
    members = make_members(BRAKES, SEEDS)
    state = jax.jit(loop.init)(members, task)
    batch = task.sample(jax.random.key(9), 6)
    measured = jax.jit(loop.measure)(state, members, task, batch)
    assert measured["loss/held_out"].shape == (4, 3, 6)
    hub_mass = measured["concentration/hub_mass"]
    assert hub_mass.shape == (4, 3, 6, 2, 1)
    harmonic = (1 / np.arange(1, 13)).sum() / 12
    np.testing.assert_allclose(hub_mass[:, 1], harmonic, rtol=1e-5)
    # The brake-only null of an unbraked member is the uniform one.
    np.testing.assert_allclose(hub_mass[0, 2], harmonic, rtol=1e-5)
    assert (hub_mass[3, 2] < harmonic).all()


def test_loss_is_cross_entropy_in_nats() -> None:
    logits = jnp.log(jnp.asarray([[[0.5, 0.25, 0.25]]]))
    loss = cross_entropy(logits, jnp.asarray([[1]]))
    np.testing.assert_allclose(loss, np.log(4), rtol=1e-6)
