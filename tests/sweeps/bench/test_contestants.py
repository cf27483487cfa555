"""Every program of the benchmark trains the same members to the same parameters."""

import dataclasses
import functools
import importlib.util
from typing import Any

import jax
import numpy as np
import pytest

from sweeps.bench.contestants import (
    BASE,
    BRAKE,
    FUNCTIONAL,
    ONSET,
    ChunkTrainer,
    PlainLoop,
    Start,
    build_timed,
    draw_start,
    list_contestants,
    one_value,
    placements,
    why_no_peer,
)
from sweeps.commands import bench
from sweeps.design.experiment import Experiment
from sweeps.design.grid import Axis
from sweeps.engine.inputs import take_row
from sweeps.main import parse
from sweeps.runtime.placement import Placement
from tests import ROOT

MEMBERS, STEPS = 3, 2
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}
"""Adam's first steps divide gradients by their own size, and sums differ in order."""


def experiment_of(config: str, tiny: dict[str, Any], **settings: Any) -> Experiment:
    overrides = tiny | {"sweep.low": 0.5, "train.warmup": 3} | settings
    flags = [f"--config.{key}={value}" for key, value in overrides.items()]
    name, *preset = config.split(":")
    path = ":".join([f"--config={ROOT}/configs/{name}.py", *preset])
    values, _ = parse(bench, "bench", [path, *flags])
    return build_timed(one_value(values.config, MEMBERS, STEPS))


@functools.cache
def trained(config: str, mlp: int, tiny: Any) -> tuple[Experiment, Start, Any, Any]:
    """Onset's losses and parameters after a chunk."""
    experiment = experiment_of(config, dict(tiny), **{"model.mlp_ratio": mlp})
    ours = ChunkTrainer(experiment, Placement(2, 1))
    losses = np.asarray(ours.train())
    params = jax.tree.map(np.asarray, ours.states.params)
    return experiment, draw_start(experiment), losses, params


def with_chunk(experiment: Experiment, steps: int) -> Experiment:
    spec = dataclasses.replace(experiment.spec, chunk=steps)
    return dataclasses.replace(experiment, spec=spec)


def frozen(tiny: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(tiny.items())


def test_the_plain_loop_is_the_chunk(tiny: dict[str, Any]) -> None:
    experiment, start, losses, params = trained("attention", 0, frozen(tiny))
    peer = PlainLoop(experiment, start)
    np.testing.assert_allclose(peer.train(), losses, **TOLERANCE)
    for member, state in enumerate(peer.states):
        wanted = jax.tree.leaves(take_row(params, member))
        for got, want in zip(jax.tree.leaves(state.params), wanted, strict=True):
            np.testing.assert_allclose(got, want, **TOLERANCE)


# torch.compile takes a minute; what it compiles is the functional step tested here.
STYLES = [
    None,
    {"stacked": True, "compiled": False},
    {"stacked": False, "compiled": False},
]


@pytest.mark.parametrize("mlp", [0, 2])
@pytest.mark.parametrize("style", STYLES)
def test_torch_trains_the_same_members(
    mlp: int, style: dict[str, bool] | None, tiny: dict[str, Any]
) -> None:
    pytest.importorskip("torch")
    agrees("attention", mlp, style, tiny)


@pytest.mark.parametrize("config", ["rwkv4", "selective_ssm"])
def test_transformers_mixers_train_the_same_members(
    config: str, tiny: dict[str, Any]
) -> None:
    pytest.importorskip("transformers")
    agrees(config, 2, None, tiny)


@pytest.mark.parametrize(
    ("hops", "positions", "style"),
    [(2, "none", STYLES[0]), (1, "learned", STYLES[1]), (2, "none", STYLES[2])],
)
@pytest.mark.parametrize("config", ["graph_attention", "graph_attention:v2"])
def test_geometric_layers_train_the_same_members(
    config: str,
    hops: int,
    positions: str,
    style: dict[str, bool] | None,
    tiny: dict[str, Any],
) -> None:
    pytest.importorskip("torch_geometric")
    # Sparse, so that two hops do not reach all nodes and one misses many.
    graph = {"task.nodes": 40, "task.within": 0.2, "task.across": 0.02}
    other = {"task.hops": hops, "model.positions": positions}
    agrees(config, 0, style, tiny | graph | other)


def agrees(
    config: str, mlp: int, style: dict[str, bool] | None, tiny: dict[str, Any]
) -> None:
    from sweeps.bench.peers.torch_training import make_peer

    experiment, start, losses, params = trained(config, mlp, frozen(tiny))
    assert not why_no_peer(experiment)
    initial = start.states.params
    peer = make_peer(experiment, style, initial, start.batches)
    # Onset's parameters, under the peer's names.
    moved = make_peer(experiment, None, params, start.batches)
    still = make_peer(experiment, None, initial, start.batches)
    np.testing.assert_allclose(peer.train().detach().numpy(), losses, **TOLERANCE)
    furthest = 0.0
    for member in range(MEMBERS):
        before, wanted = still.parameters(member), moved.parameters(member)
        for name, got in peer.parameters(member).items():
            want = wanted[name].detach().numpy()
            np.testing.assert_allclose(got.detach().numpy(), want, **TOLERANCE)
            moves = np.abs(want - before[name].detach().numpy()).max()
            furthest = max(furthest, float(moves))
    assert furthest > 10 * TOLERANCE["atol"]  # so that not training would be seen


def test_placements_differ_and_fit() -> None:
    found = dict(placements(16, Placement(2, 1)))
    assert [(p.devices, p.width) for p in found.values()] == [
        (2, 1),
        (1, 1),
        (2, 4),
        (1, 16),
    ]
    assert next(iter(found)).startswith(ONSET)
    assert list(dict(placements(1, Placement(1, 1))).values()) == [Placement(1, 1)]
    widths = [p.width for p in dict(placements(64, Placement(2, 16))).values()]
    assert widths == [16, 1, 4, 64]


@pytest.mark.parametrize(
    ("config", "settings", "named"),
    [
        ("retention", {}, "Retention"),
        ("graph_attention", {"knobs.token.null_sink": 1.0}, "token.brake"),
        ("depth_attention", {}, "depth"),
        ("attention", {"router.rotary": True}, "rotary"),
        ("attention", {"model.dtype": "bfloat16"}, "dtype"),
        ("attention", {"knobs.token.content": 2.0}, "token.brake"),
        ("rwkv4", {"router.token_shift": False}, "form of RWKV4"),
    ],
)
def test_configs_without_a_peer_say_so(
    config: str, settings: dict[str, Any], named: str, tiny: dict[str, Any]
) -> None:
    experiment = experiment_of(config, {}, **settings)
    assert named in why_no_peer(experiment)
    rows = list_contestants(experiment, Placement(2, 1))
    assert [row.name for row in rows if row.missing] == [BASE, *FUNCTIONAL]


@pytest.mark.parametrize(
    ("config", "missing"),
    [
        ("attention", []),
        ("rwkv4", list(FUNCTIONAL)),
        ("graph_attention", ["torch.compile of vmap"]),
    ],
)
def test_rows_that_a_peer_has(
    config: str, missing: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    rows = list_contestants(experiment_of(config, {}), Placement(2, 1))
    assert [row.name for row in rows if row.missing] == missing


@pytest.mark.parametrize(
    ("config", "missing"),
    [
        ("attention", "torch"),
        ("rwkv4", "transformers"),
        ("graph_attention", "torch_geometric"),
    ],
)
def test_without_its_library_the_rows_say_what_to_install(
    config: str, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = experiment_of(config, {})
    found: set[str] = {"torch", "transformers", "torch_geometric"} - {missing}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: name if name in found else None
    )
    assert "router-sweeps[parity]" in why_no_peer(experiment)
    found.add(missing)
    assert not why_no_peer(experiment)


@pytest.mark.parametrize(
    ("config", "value"),
    [("attention", 0.5), ("rwkv4", 1.0), ("graph_attention", 0.0)],
)
def test_members_have_the_brake_that_their_peer_knows(
    config: str, value: float
) -> None:
    experiment = experiment_of(config, {})
    assert experiment.grid.axis == Axis(BRAKE, (value,))
    np.testing.assert_array_equal(experiment.grid.swept, np.full(MEMBERS, value))
    stronger = dataclasses.replace(experiment.grid, axis=Axis(BRAKE, (2.0,)))
    refused = "a brake other than" in why_no_peer(
        dataclasses.replace(experiment, grid=stronger)
    )
    assert refused == (config != "attention")


def test_members_start_alike(tiny: dict[str, Any]) -> None:
    experiment = experiment_of("attention", tiny)
    assert experiment.grid.members == MEMBERS
    assert experiment.spec.optimizer.warmup == 0
    fewer = with_chunk(experiment, 1)
    whole, short = draw_start(experiment).batches[0], draw_start(fewer).batches[0]
    np.testing.assert_array_equal(whole[:1], short)
