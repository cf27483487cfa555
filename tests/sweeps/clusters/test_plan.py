"""Plans: arithmetic on made-up programs, lowering on host devices, one for a TPU."""

import importlib.util
import math
import os
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sweeps.commands.sweep
from sweeps.clusters.capacity import (
    NEAR,
    PROBES,
    Footprint,
    Loops,
    Overflow,
    Work,
    largest_fit,
    line_bound,
    work_of_step,
)
from sweeps.clusters.compile import analyze_chunk, analyze_step, lower_chunk
from sweeps.clusters.slices import (
    CHIPS,
    SHAPES,
    Slice,
    parse_accelerator,
    parse_topology,
)
from sweeps.clusters.step_work import _count, count_loops
from sweeps.design.experiment import Experiment, build_experiment
from sweeps.engine.inputs import make_members, step_number
from sweeps.engine.programs import compile_sweep
from sweeps.main import main, parse
from sweeps.runtime.placement import Placement, make_mesh, place
from tests import ROOT

LIBTPU = importlib.util.find_spec("libtpu") is not None


def program(members: int, memory: float) -> Footprint:
    return Footprint(
        members=members, memory=memory, flops=1.0, traffic=1.0, seconds=1.0
    )


@given(
    start=st.integers(1, 40),
    unit=st.integers(1, 8),
    fixed=st.floats(0, 1e9),
    each=st.floats(1e5, 1e7),
    later=st.floats(0.5, 2.0),
    reserved=st.floats(0, 0.1),
    says=st.booleans(),
)
def test_the_fit_is_verified_and_nearly_the_most(
    start: int,
    unit: int,
    fixed: float,
    each: float,
    later: float,
    reserved: float,
    says: bool,
) -> None:
    """Memory is a line whose slope changes at 100 members, as layouts do."""
    capacity = 16e9
    available = capacity * (1 - reserved)
    asked: list[int] = []

    def memory(members: int) -> float:
        return fixed + each * (min(members, 100) + later * max(members - 100, 0))

    def probe(members: int) -> Footprint | Overflow:
        asked.append(members)
        if memory(members) > available:
            return Overflow(available if says else None)
        return program(members, memory(members))

    found = largest_fit(probe, start * unit, unit, capacity)
    assert len(asked) == len(set(asked)) <= PROBES
    assert all(members % unit == 0 for members in asked)
    assert found is not None and found.members in asked
    assert memory(found.members) <= available
    if says:
        more = math.ceil(found.members * (1 + 2 * NEAR)) + 2 * unit
        assert memory(more) > available or len(asked) == PROBES


def test_nothing_fits() -> None:
    assert largest_fit(lambda members: Overflow(), 40, 4, 16e9) is None


def test_a_sweep_too_large_is_made_smaller() -> None:
    def probe(members: int) -> Footprint | Overflow:
        return program(members, members * 1e9) if members <= 15 else Overflow(15e9)

    found = largest_fit(probe, 100, 1, 16e9)
    assert found is not None and found.members == 15


def test_a_line_through_two_programs() -> None:
    low, high = program(10, 3e9), program(20, 5e9)
    assert line_bound(low, high, 1, 16e9) == 75
    assert line_bound(low, high, 4, 16e9) == 72


def test_the_roofline_by_hand() -> None:
    chip = CHIPS["v5e"]
    assert Work(197e6, 1.0).seconds(chip) == pytest.approx(1e-6)
    assert Work(1.0, 819e3).seconds(chip) == pytest.approx(1e-6)
    assert Work(197e6, 818e3).bound(chip) == "compute"
    assert Work(197e6, 820e3).bound(chip) == "memory"


def test_a_step_is_one_members_with_all_passes_of_its_loops() -> None:
    of_four = Footprint(members=4, memory=0.0, flops=400.0, traffic=80.0, seconds=0.0)
    assert work_of_step(of_four, Loops(1.5, 3.0)) == Work(flops=150.0, traffic=60.0)


def test_loops_count_as_if_written_out() -> None:
    matrix = jnp.ones((5, 5))

    def body(x: jax.Array, _: Any) -> tuple[jax.Array, None]:
        return jnp.tanh(x @ matrix), None

    def written_out(x: jax.Array) -> jax.Array:
        for _ in range(7):
            x, _ = body(x, None)
        return x

    def looped(x: jax.Array) -> jax.Array:
        return jax.lax.scan(body, x, length=7)[0]

    one = jax.make_jaxpr(lambda x: body(x, None)[0])(matrix).jaxpr
    loop = jax.make_jaxpr(looped)(matrix).jaxpr
    wanted = jax.make_jaxpr(written_out)(matrix).jaxpr
    assert _count(loop, passes=True) == _count(wanted, passes=True)
    assert _count(loop, passes=False) == _count(one, passes=False)
    assert _count(one, passes=True)[0] == 2 * 5**3 + 5**2


def tiny_experiment(name: str, tiny: dict[str, Any], *more: str) -> Experiment:
    flags = [f"--config.{key}={value}" for key, value in tiny.items()]
    arguments = [f"--config={ROOT}/configs/{name}.py", "--workdir=x", *flags, *more]
    return build_experiment(parse(sweeps.commands.sweep, "sweep", arguments)[0].config)


def test_only_recurrent_routers_have_loops(tiny: dict[str, Any]) -> None:
    assert count_loops(tiny_experiment("attention", tiny)) == Loops(1.0, 1.0)
    recurrent = count_loops(tiny_experiment("selective_ssm", tiny))
    assert recurrent.flops > 1 and recurrent.traffic > 1


@pytest.mark.parametrize("width", [1, 2])
def test_what_is_compiled_by_shape_is_the_sweeps_own_chunk(
    width: int, tiny: dict[str, Any]
) -> None:
    experiment = tiny_experiment("attention", tiny)
    placement = Placement(devices=2, width=width)
    mesh = make_mesh(placement)
    sweep = compile_sweep(experiment, placement)
    lowered = lower_chunk(experiment, mesh, width, sweep.rows // 2)
    task = sweep.shared.task
    shared = (task, sweep.shared.streams, step_number(mesh, 0))
    init, chunk = sweep.programs.init, sweep.programs.chunk
    order = np.arange(sweep.rows) % experiment.grid.members
    members = place(mesh, make_members(experiment, experiment.grid, order))
    own = chunk(init(members, task), members, *shared)
    ours = lowered.compile()(init(members, task), members, *shared)
    for wanted, got in zip(jax.tree.leaves(own), jax.tree.leaves(ours), strict=True):
        assert wanted.sharding == got.sharding
        np.testing.assert_array_equal(np.asarray(got), np.asarray(wanted))


def test_members_cost_memory_and_a_step_does_not_count_them(
    tiny: dict[str, Any],
) -> None:
    experiment = tiny_experiment("attention", tiny)
    mesh = make_mesh(Placement(2, 1))
    few, many = (analyze_chunk(experiment, mesh, 1, n) for n in (8, 16))
    assert isinstance(few, Footprint) and isinstance(many, Footprint)
    shapes = jax.tree.leaves(lower_chunk(experiment, mesh, 1, 8).in_avals[0][0])
    states = sum(leaf.size * leaf.dtype.itemsize for leaf in shapes) / 2
    assert many.memory - few.memory >= states
    step = analyze_step(experiment, mesh, 1)
    # The chunk counts one step, and draws batches besides.
    assert 0.8 * few.flops <= step.flops <= few.flops


@pytest.mark.parametrize("chip", CHIPS.values(), ids=CHIPS)
def test_names_of_slices(chip: Any) -> None:
    for shape in SHAPES[chip.dimensions]:
        one = Slice(chip, shape)
        assert parse_topology(one.name) == parse_accelerator(one.accelerator) == one


def test_hosts_of_slices() -> None:
    named = {"v5e:2x4": 1, "v5e:4x4": 4, "v5e:16x16": 64, "v5p:2x2x1": 1, "v4:2x2x2": 2}
    assert {name: parse_topology(name).hosts for name in named} == named


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--topology=v9:2x2"], "v4:2x4x4"),
        (["--topology=v5e:3x7"], "the shape of v5e must be one of 1x1, 2x2"),
        (["--topology=v5e"], "the shape of v5e must be"),
        (["--topology=v5e:4x4,"], "CHIP:SHAPE"),
        (["--topology="], "--topology"),
    ],
)
def test_bad_slices_are_named(
    flags: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = f"--config={ROOT}/configs/attention.py"
    assert main(["plan", config, *flags]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1 and named in err


def test_a_missing_libtpu_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["plan", f"--config={ROOT}/configs/attention.py"]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1 and "router-sweeps[tpu]" in err
    assert main(["plan"]) == 2
    assert "--config is required" in capsys.readouterr().err


@pytest.mark.skipif(not LIBTPU, reason="needs libtpu: pip install -e '.[tpu]'")
def test_a_real_plan(tiny: dict[str, Any]) -> None:
    """In a process of its own: libtpu aborts what it does not like."""
    flags = [f"--config.{key}={value}" for key, value in tiny.items()]
    config = f"--config={ROOT}/configs/attention.py"
    done = subprocess.run(
        [sys.executable, "-m", "sweeps.main", "plan", config, *flags]
        + ["--topology=v5e:2x2"],
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": "", "COLUMNS": "100"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split("│") for line in done.stdout.splitlines() if "│" in line]
    column = {cells[1].strip(): cells[2].strip() for cells in rows}
    assert column["chips"] == "4" and column["hosts"] == "1"
    assert int(column["members that fit on a chip"].replace(",", "")) > 10_000
    assert 15 < float(column["memory they need"].split()[0]) < 16
