"""A refined sweep is the sweep of all its values, with nothing compiled again."""

import dataclasses
import io
import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pyarrow.parquet as pq
import pytest
from ml_collections import ConfigDict
from rich.console import Console

from configs import attention
from sweeps.design.experiment import Experiment, build_experiment
from sweeps.design.grid import Grid, join_grids, make_axis, make_grid, split_grid
from sweeps.engine.diagnose import diagnose
from sweeps.engine.inputs import row_blocks
from sweeps.engine.programs import CompiledSweep, compile_sweep
from sweeps.engine.train import Trained
from sweeps.engine.waves import train_sweep
from sweeps.pipeline import sweep
from sweeps.report.knob_axis import KnobScale
from sweeps.report.sentences import describe
from sweeps.runtime.placement import choose_placement
from tests import ROOT

ROUNDS, NUM = 2, 2
# Untrained heads this sharp have hubs that a brake takes away, so six steps suffice
# for an onset; at so low a quantile the nulls do not stand in its way.
ONSET = {
    "sweep.num": 4,
    "sweep.seeds": 4,
    "model.init.router": 0.5,
    "criterion.quantile": 0.01,
    "criterion.margin": 0.0,
    "sweep.refine.rounds": ROUNDS,
    "sweep.refine.num": NUM,
    "eval.diagnosed": 4,
}


def configure(tiny: dict[str, Any], **more: Any) -> ConfigDict:
    config = attention.get_config()
    config.update_from_flattened_dict(tiny | ONSET | more)
    return config


class Refined(NamedTuple):
    experiment: Experiment
    sweep: CompiledSweep
    trained: Trained
    compiled: list[int]
    """Programs compiled so far, at every snapshot; before any training in front."""


class Compilations(logging.Handler):
    """Counts what JAX says it compiles."""

    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += record.getMessage().startswith("Compiling")


@pytest.fixture(scope="module")
def refined(tiny: dict[str, Any]) -> Refined:
    experiment = build_experiment(configure(tiny))
    placement = choose_placement(0, 1, experiment.wave_members)
    counter = Compilations()
    logger = logging.getLogger("jax")
    logger.addHandler(counter)
    try:
        with jax.log_compiles():
            compiled_sweep = compile_sweep(experiment, placement)
            compiled = [counter.count]
            trained = train_sweep(
                compiled_sweep, lambda *_: compiled.append(counter.count)
            )
    finally:
        logger.removeHandler(counter)
    return Refined(experiment, compiled_sweep, trained, compiled)


def test_nothing_is_compiled_again(refined: Refined) -> None:
    """After the first wave's first measurements, none of 5 waves compiles."""
    per_wave = refined.experiment.points + 1
    assert len(refined.compiled) == 1 + per_wave * refined.experiment.most_waves
    assert refined.compiled[0] >= 3  # the counter counts: init, chunk, measure
    assert refined.compiled[-1] == refined.compiled[per_wave]


def test_the_interval_narrows_around_the_same_onset(refined: Refined) -> None:
    history = refined.trained.results.refinement
    assert [one.number for one in history.rounds] == [0, 1, 2]
    assert history.stopped == "rounds"
    first, *_, last = history.rounds
    assert np.log(last.high / last.low) < np.log(first.high / first.low)
    assert history.floor
    for one in history.rounds[1:]:
        assert len(one.values) == NUM
        assert all(first.low / 2 < value < first.high for value in one.values)


def test_it_equals_the_plain_sweep_of_all_values_bitwise(refined: Refined) -> None:
    """Same seed and value: same numbers, whatever else was trained, and when."""
    found = refined.trained.results
    experiment, grid = found.experiment, found.experiment.grid
    plain = dataclasses.replace(
        experiment,
        grid=make_grid(grid.axis, seeds=4, data_seeds=1),
        refinement=type(experiment.refinement)(0, 1, 0.05),
    )
    placement = choose_placement(0, 1, plain.grid.members)
    compiled = compile_sweep(plain, placement)
    trained = train_sweep(compiled, lambda *_: None)
    results = trained.results
    assert results.refinement is None
    order = np.lexsort((grid.unit, grid.value))
    np.testing.assert_array_equal(plain.grid.value, grid.value[order])
    np.testing.assert_array_equal(plain.grid.init_seed, grid.init_seed[order])
    for ours, theirs in zip(found.snapshots, results.snapshots, strict=True):
        for name in theirs.model:
            np.testing.assert_array_equal(
                ours.spread[name][order], theirs.spread[name], err_msg=name
            )
        np.testing.assert_array_equal(ours.train_loss[order], theirs.train_loss)
    for part, course in results.outcomes.items():
        np.testing.assert_array_equal(found.outcomes[part][:, order], course)
    for mine, other in zip(
        jax.tree.leaves(refined.trained.states),
        jax.tree.leaves(trained.states),
        strict=True,
    ):
        np.testing.assert_array_equal(mine[order], other)
    apart = diagnose(refined.sweep, refined.trained)
    together = diagnose(compiled, trained)
    assert apart.nulls == together.nulls
    assert "post_hoc" in apart.nulls  # reads members of another wave
    for name, values in together.measures.items():
        np.testing.assert_array_equal(apart.measures[name][order], values, name)


@pytest.fixture(scope="module")
def done(
    tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any], str]:
    workdir = tmp_path_factory.mktemp("runs") / "refined"
    console = Console(file=io.StringIO(), width=200)
    settings = {"eval.diagnosed": 0, "wandb.mode": "offline", "sweep.refine.rounds": 1}
    summary = sweep(configure(tiny, **settings), workdir, console)
    return workdir, summary, console.file.getvalue()


def test_everything_a_sweep_leaves_has_all_rounds(done: tuple) -> None:
    workdir, summary, text = done
    assert json.loads((workdir / "onset.json").read_text()) == summary
    values = [point["value"] for point in summary["curve"]]
    assert values == sorted(values)
    added = [point["value"] for point in summary["curve"] if point["round"] == 1]
    assert added == summary["refinement"]["rounds"][1]["values"]
    manifest = json.loads((workdir / "manifest.json").read_text())
    assert [member["round"] for member in manifest["members"]] == [0] * 20 + [1] * 8
    assert len(set(manifest["wandb"]["members"])) == 28
    table = pq.read_table(workdir / "metrics.parquet")
    members, brakes = (table[name].to_numpy() for name in ("member", "token.brake"))
    for number, member in enumerate(manifest["members"]):
        own = np.unique(brakes[members == number])
        np.testing.assert_array_equal(own, np.float32(member["token.brake"]))
    assert "20 members" in text
    assert "up to 8 in 1 round of 2 values" in text.replace("\n", " ")
    assert "Refinement: 1 round" in text


def test_its_keys_are_documented(done: tuple) -> None:
    _, summary, _ = done
    documented = (ROOT / "docs/onset_schema.md").read_text()
    for key in (*summary["refinement"], *summary["refinement"]["rounds"][0]):
        assert f"`{key}`" in documented, key


@pytest.mark.parametrize("stopped", ["rounds", "width", "seeds", "open", "censored"])
def test_every_end_of_refinement_has_its_words(done: tuple, stopped: str) -> None:
    _, summary, _ = done
    assert f'`"{stopped}"`' in (ROOT / "docs/onset_schema.md").read_text()
    course = summary["refinement"] | {"stopped": stopped}
    told = " ".join(describe(summary | {"refinement": course}))
    assert "more seeds can" in told
    alone = course | {"rounds": course["rounds"][:1], "floor": None}
    assert "Not refined: " in " ".join(describe(summary | {"refinement": alone}))


def test_grids_split_and_join_again() -> None:
    grid = make_grid(make_axis("token.brake", 0.1, 1.0, 4, True), 3, 2)
    parts = split_grid(grid, 2)
    assert [len(part.axis.values) for part in parts] == [2, 2, 1]
    for field in ("value", "init_seed", "data_seed", "round", "unit", "swept"):
        np.testing.assert_array_equal(
            getattr(join_grids(parts), field), getattr(grid, field)
        )
    more = make_grid(make_axis("token.brake", 0.12, 0.13, 2, False), 3, 2, round=1)
    joined: Grid = join_grids([*parts, more])
    np.testing.assert_array_equal(joined.swept[-12:], more.swept)
    assert list(joined.axis.values) == sorted(joined.axis.values)


def test_seeds_have_the_room_that_their_value_leaves() -> None:
    even = KnobScale(np.asarray([0.0, 0.01, 0.1, 1.0]))
    for value in even.values:
        np.testing.assert_allclose(even.room(value), 1.0)
    refined = KnobScale(np.asarray([0.1, 1.0, 1.001, 10.0]))
    for value in (1.0, 1.001):
        np.testing.assert_allclose(refined.room(value), np.log10(1.001), rtol=1e-4)


def test_blocks_hold_every_member_once_before_padding() -> None:
    found = row_blocks(7, 3)
    assert [list(block) for block in found] == [[0, 1, 2], [3, 4, 5], [6, 6, 6]]


def test_a_wave_may_be_wider_than_the_grid(tiny: dict[str, Any]) -> None:
    experiment = build_experiment(configure(tiny, **{"sweep.refine.num": 9}))
    assert (experiment.wave_values, experiment.most_waves) == (9, 3)
    assert len(split_grid(experiment.grid, experiment.wave_values)) == 1
    assert experiment.most_members == 20 + 2 * 36
