"""The command from files to findings, against what transformers gives."""

import json
import shlex
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.special import log_softmax

import sweeps
from routers.pretrained import open_model
from sweeps.errors import BadInput
from sweeps.main import main
from sweeps.measured import figures, story
from sweeps.measured.passes import Passes
from sweeps.measured.rows import Row, make_rows
from sweeps.measured.windows import Windows
from sweeps.runtime.stop_signal import STOPPED
from tests.sweeps.measured.models import FIXTURES, copy_model, expected, write_texts
from tests.test_readme import MEASURE

RESULTS = ("metrics.parquet", "onset.json")
BRAKES = (0.0, 0.1, 1.0)
STEPS = np.tril(np.arange(12)[:, None] - np.arange(12))  # from a source to a query


def masses(weights: np.ndarray) -> np.ndarray:
    """Of causal weights ``[..., T, T]``, over the queries that can see a source."""
    seen = [weights[..., j:, j].astype(float).mean(-1) for j in range(6)]
    return np.stack(seen, -1)


def losses(logits: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Mean loss ``[B]`` of the prediction of every next token."""
    chosen = np.take_along_axis(
        log_softmax(logits[:, :-1].astype(float), -1), tokens[:, 1:, None], -1
    )
    return -chosen[..., 0].mean(1)


def run(model: Path, text: str, workdir: Path, *more: str) -> int:
    """Runs the README's command on two windows of 12 tokens, one of each text."""
    command, _, *flags = shlex.split(MEASURE)[1:]
    small = ("--length=12", "--windows=2", f"--text={text}", f"--workdir={workdir}")
    return main([command, str(model), *flags, *small, "--wandb=disabled", *more])


SWEEP = ("--num=2", "--low=0.1")
RECORDED: dict[str, Any] = {}
"""What every pass of `finished` found, by its name."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, Path]:
    """Model, texts and work directory; two devices share the windows."""
    passes = Passes.run

    def recorded(self: Passes, row: Row, advance: Any) -> Any:
        RECORDED[row.name] = passes(self, row, advance)
        return RECORDED[row.name]

    folder = tmp_path_factory.mktemp("measure")
    model = copy_model("gpt2", folder)
    text = write_texts(expected("gpt2")["tokens"], folder)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Passes, "run", recorded)
        patched.setattr(figures, "draw_layers", lambda *_: None)  # the encoder's is
        assert run(model, text, folder / "work", *SWEEP) == 0
    return model, text, folder / "work"


@pytest.fixture(scope="module")
def table(finished: tuple[Path, str, Path]) -> list[dict[str, Any]]:
    return pq.read_table(finished[2] / "metrics.parquet").to_pylist()


def pick(table: list[dict[str, Any]], metric: str, **where: Any) -> list[float]:
    """Values of a measure, in the order of the members."""
    return [
        row["value"]
        for row in table
        if row["metric"] == metric and all(row[k] == v for k, v in where.items())
    ]


def test_it_finds_what_transformers_gives(table: list[dict[str, Any]]) -> None:
    known = expected("gpt2")
    every = masses(known["attention"])
    at_zero = {"null": "", "step": 1, "token.brake": 0.0}
    for layer, head in np.ndindex(2, 3):
        place = {"layer": layer, "head": head} | at_zero
        found = pick(table, "concentration/hub_mass", **place)
        wanted = every[layer, :, head]
        np.testing.assert_allclose(found, wanted.max(-1), rtol=1e-4)
        assert pick(table, "concentration/hub", **place) == wanted.argmax(-1).tolist()
    found = pick(table, "loss/held_out", **at_zero)
    np.testing.assert_allclose(
        found, losses(known["logits"], known["tokens"]), rtol=1e-4
    )
    right = known["logits"][:, :-1].argmax(-1) == known["tokens"][:, 1:]
    np.testing.assert_allclose(
        pick(table, "accuracy/held_out", **at_zero), right.mean(1)
    )


def test_the_brake_multiplies_the_published_weights(
    table: list[dict[str, Any]],
) -> None:
    """The first layer reads the same stream at every brake."""
    weights = expected("gpt2")["attention"][0].astype(float)
    first = {"layer": 0, "head": 2, "step": 1}
    for brake in BRAKES:
        alone = np.exp(-brake * STEPS) * np.tril(np.ones((12, 12)))
        for null, product in (
            ("", weights[:, 2] * alone),
            ("brake_only", alone[None].repeat(2, 0)),
            ("uniform", np.tril(np.ones((2, 12, 12)))),
        ):
            found = pick(
                table,
                "concentration/hub_mass",
                null=null,
                **first | {"token.brake": pytest.approx(brake)},
            )
            braked = product / product.sum(-1, keepdims=True)
            np.testing.assert_allclose(found, masses(braked).max(-1), rtol=1e-4)


def test_windows_stand_where_a_sweep_has_seeds(table: list[dict[str, Any]]) -> None:
    members = {
        (
            row["member"],
            round(row["token.brake"], 6),
            row["init_seed"],
            row["data_seed"],
        )
        for row in table
    }
    assert members == {
        (2 * value + text, brake, 0, text)
        for value, brake in enumerate(BRAKES)
        for text in (0, 1)
    }
    nulls = {row["null"] for row in table}
    assert {"", "uniform", "brake_only", "untrained", "shuffled_keys"} < nulls
    assert {"random_tokens", "permuted_tokens"} < nulls
    untrained = pick(table, "concentration/hub_mass", null="untrained", layer=1, head=0)
    assert np.isfinite(untrained).all()


def test_equal_passes_are_one(finished: tuple[Path, str, Path]) -> None:
    model = open_model(finished[0])
    fixed = {name: knob.neutral for name, knob in model.router.knobs.items()}
    rows, absent = make_rows(model, fixed, "brake", BRAKES, 0.0)
    names = {row.name for row in rows}
    # Uniform routing at every brake is the brake alone at 0.
    uniform = [row for row in rows if row.null == "uniform"]
    alone = next(row for row in rows if row.null == "brake_only" and row.value == 0)
    assert {row.name for row in uniform} == {alone.name}
    assert len(names) == len(rows) - len(BRAKES)
    _, absent_too = make_rows(model, fixed, "brake", BRAKES[1:], 0.0)
    assert "the neutral value 0" in absent_too["random_tokens"]
    assert "random_tokens" not in absent


def test_what_was_stopped_continues_to_the_same_bytes(
    finished: tuple[Path, str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, text, complete = finished
    ran: list[Row] = []
    passes = Passes.run

    def stopped(self: Passes, row: Row, advance: Any) -> Any:
        if len(ran) == 1:
            signal.raise_signal(signal.SIGTERM)
        ran.append(row)
        return RECORDED[row.name]

    def counted(self: Passes, row: Row, advance: Any) -> Any:
        ran.append(row)
        return passes(self, row, advance)

    workdir = tmp_path / "work"
    monkeypatch.setattr(figures, "draw_layers", lambda *_: None)
    monkeypatch.setattr(Passes, "run", stopped)
    assert run(model, text, workdir, *SWEEP) == STOPPED
    monkeypatch.setattr(Passes, "run", counted)
    assert "up to the last pass" in capsys.readouterr().err
    kept = sorted((workdir / "checkpoints").glob("*.npz"))
    assert len(kept) == 2 and not (workdir / "onset.json").exists()
    kept[0].write_bytes(kept[0].read_bytes()[:-99])  # as a power cut might leave it
    assert run(model, text, workdir, *SWEEP) == 0
    assert len(ran) == 1 + len({row.name for row in ran})
    for name in RESULTS:
        assert (workdir / name).read_bytes() == (complete / name).read_bytes(), name
    assert not (workdir / "checkpoints").exists()


def test_a_complete_directory_is_only_shown(
    finished: tuple[Path, str, Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, text, workdir = finished
    monkeypatch.setattr(story, "Passes", None)
    before = {path: path.stat().st_mtime_ns for path in workdir.glob("[!.]*")}
    assert run(model, text, workdir, *SWEEP) == 0
    told = " ".join(capsys.readouterr().out.split())  # lines are wrapped
    assert "already holds this measurement" in told
    assert before == {path: path.stat().st_mtime_ns for path in workdir.glob("[!.]*")}


def test_another_measurement_in_the_same_directory_is_refused(
    finished: tuple[Path, str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model, text, workdir = finished
    other = copy_model("gpt_neox_sequential", tmp_path)
    changed = write_texts(expected("gpt2")["tokens"][::-1], tmp_path)
    before = {name: (workdir / name).read_bytes() for name in RESULTS}
    for arguments, what in (
        ((model, changed, workdir, *SWEEP), "texts was"),
        ((other, text, workdir, *SWEEP), "model was"),
        ((model, text, workdir), "num was 2, now 0"),
    ):
        assert run(*arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "holds another sweep" in line and what in line
    manifest = json.loads((workdir / "manifest.json").read_text())
    kept = tmp_path / "sweep"
    kept.mkdir()
    manifest |= {"fingerprint": "of a sweep", "config": {"sweep": {"num": 3}}}
    (kept / "manifest.json").write_text(json.dumps(manifest))
    assert run(model, text, kept, *SWEEP) == 2
    assert "holds another sweep" in capsys.readouterr().err
    assert before == {name: (workdir / name).read_bytes() for name in RESULTS}


@pytest.mark.parametrize("name", ["mamba", "rwkv"])
def test_recurrent_models_are_measured_by_channel(name: str) -> None:
    """One window, so that one device has it."""
    known = expected(name)
    model = open_model(FIXTURES / name)
    knobs = {one: knob.neutral for one, knob in model.router.knobs.items()}
    passes = Passes(model, Windows(known["tokens"][1:].astype(np.int32), 1), seed=0)
    found = passes.run(Row("", 0, tuple(sorted(knobs.items()))), lambda layer: None)
    loss = losses(known["logits"], known["tokens"])[1:]
    np.testing.assert_allclose(found["loss/held_out"], loss, rtol=1e-4)
    size = np.abs(known["streams"][:, 1].astype(float))  # [L + 1, T, D]
    massive = size.max((1, 2)) / np.median(size, axis=(1, 2))
    np.testing.assert_allclose(
        found["stream/massive_activation"][0, :, 0], massive, rtol=1e-4
    )
    mean, single = found["concentration/hub_mass"], found["channels/hub_mass"]
    assert mean.shape == single.shape == (1, 2, 1) and (single > mean).all()
    assert (
        (found["channels/sink_rate"] >= 0) & (found["channels/sink_rate"] <= 1)
    ).all()


def test_a_measured_model_opens_in_python(finished: tuple[Path, str, Path]) -> None:
    run = sweeps.load(finished[2])
    assert "gpt2, 3 values of token.brake from 0 to 1 × 2 windows" in repr(run)
    assert [point["value"] for point in run.curve] == list(BRAKES)
    assert run.table.num_rows and run.onset.units == 2
    assert run.grid.members == 6 and not run.kept_steps
    for ask in (run.members, lambda: run.member(brake=0), lambda: run.held_out):
        with pytest.raises(BadInput, match="gpt2.*, which has no members to open$"):
            ask()
