"""Bad input: one clear line, exit code 2, nothing overwritten."""

import collections
from pathlib import Path

import pytest

from sweeps.main import main
from sweeps.storage.workdir import MANIFEST
from tests import ROOT

CONFIG = f"--config={ROOT}/configs/attention.py"

BAD_FLAGS = {
    "unknown key": (["--config.sweep.hgh=3"], "--config.sweep.hgh"),
    "unknown block": (["--config.swep.high=3"], "--config.swep.high"),
    "unknown flag": (["--bogus=1"], "bogus"),
    "not a number": (["--config.sweep.high=abc"], "sweep.high"),
    "not a whole number": (["--config.sweep.num=2.5"], "sweep.num"),
    "missing value": (["--config.sweep.high"], "sweep.high"),
    "stray argument": (["surplus"], "surplus"),
    "unknown preset": ([f"--config={ROOT}/configs/attention.py:huge"], "huge"),
    "missing config": (["--config=/nowhere/x.py"], "/nowhere/x.py"),
    "range inverted": (["--config.sweep.low=3", "--config.sweep.high=1"], "sweep.low"),
    "range negative": (["--config.sweep.low=-1"], "sweep.low=-1"),
    "range NaN": (["--config.sweep.high=nan"], "sweep.high=nan"),
    "range infinite": (["--config.sweep.high=inf"], "sweep.high=inf"),
    "no values": (
        ["--config.sweep.num=0", "--config.sweep.zero=False"],
        "sweep.num=0: must be at least 1, or 0 with sweep.zero=True",
    ),
    "refine zero alone": (
        ["--config.sweep.num=0", "--config.sweep.refine.rounds=1"],
        "sweep.refine.rounds=1: must be 0 with sweep.num=0",
    ),
    "no seeds": (["--config.sweep.seeds=0"], "sweep.seeds=0"),
    "no data seeds": (["--config.sweep.data_seeds=0"], "sweep.data_seeds=0"),
    "refine rounds": (["--config.sweep.refine.rounds=-1"], "sweep.refine.rounds=-1"),
    "refine nothing": (["--config.sweep.refine.num=0"], "sweep.refine.num=0"),
    "refine to a point": (["--config.sweep.refine.width=0"], "sweep.refine.width=0"),
    "refine NaN": (["--config.sweep.refine.width=nan"], "sweep.refine.width=nan"),
    "refine three seeds": (
        ["--config.sweep.refine.rounds=1", "--config.sweep.seeds=3"],
        "needs at least 4 seeds",
    ),
    "no such knob": (["--config.sweep.knob=token.carry"], "token.carry"),
    "knob out of range": (
        ["--config.sweep.knob=token.norm_awareness", "--config.sweep.high=2"],
        "token.norm_awareness",
    ),
    "fixed knob out of range": (
        ["--config.knobs.token.norm_awareness=2.0"],
        "knobs.token.norm_awareness=2",
    ),
    "missing text": (["--config.task.text=/nowhere.txt"], "/nowhere.txt"),
    "bytes of no text": (
        ["--config.task.name=bytes", "--config.task.text="],
        "task.text=''",
    ),
    "no such data set": (
        ["--config.task.text=tfds:no_such_data_set"],
        "task.text=tfds:no_such_data_set",
    ),
    "few symbols": (["--config.task.symbols=3"], "task.triggers=3"),
    "heads": (["--config.model.heads=5"], "model.heads=5"),
    "no heads": (["--config.model.heads=0"], "model.heads=0"),
    "odd rotary": (
        ["--config.router.rotary=True", "--config.model.heads=64"],
        "rotary",
    ),
    "length": (["--config.train.length=9"], "train.length=9"),
    "steps": (["--config.train.steps=0"], "train.steps=0"),
    "width": (["--config.model.width=0"], "model.width=0"),
    "dtype": (["--config.model.dtype=int8"], "model.dtype='int8'"),
    "positions": (["--config.model.positions=sine"], "model.positions='sine'"),
    "slopes": (["--config.router.slopes=steep"], "router.slopes='steep'"),
    "router": (["--config.router.name=oracle"], "router.name='oracle'"),
    "task": (["--config.task.name=chess"], "task.name='chess'"),
    "devices": (["--config.sweep.devices=64"], "sweep.devices=64"),
    "at once": (["--config.sweep.width=-1"], "sweep.width=-1"),
    "wandb mode": (["--config.wandb.mode=maybe"], "wandb.mode='maybe'"),
    "wandb project": (["--config.wandb.project=a/b"], "wandb.project='a/b'"),
    "wandb entity": (["--config.wandb.entity=a|b"], "wandb.entity='a|b'"),
    "unused distance": (["--config.depth.distance=far"], "depth.distance='far'"),
    "depth of depth": (
        [f"--config={ROOT}/configs/depth_attention.py", "--config.model.layers=129"],
        "model.layers=129: must be at most 128",
    ),
    "a value of any length": (
        ["--config.router.name=" + "x" * 4000],
        "router.name=",
    ),
    "criterion": (["--config.criterion.threshold=1.5"], "criterion.threshold=1.5"),
    "router of another slot": (["--config.router.name=depth_attention"], "depth slot"),
    "geometry": (["--config.task.name=csbm"], "graph"),
    "isolated node": (
        [
            f"--config={ROOT}/configs/graph_attention.py",
            "--config.task.within=0.0",
            "--config.task.across=0.0",
        ],
        "no neighbour",
    ),
}


def refused(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert len(err.splitlines()) == 1
    assert len(err) < 1000
    assert "Traceback" not in out + err
    return err


@pytest.mark.parametrize("case", BAD_FLAGS)
def test_bad_settings_are_named(
    case: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    flags, named = BAD_FLAGS[case]
    config = [] if any(flag.startswith("--config=") for flag in flags) else [CONFIG]
    workdir = tmp_path / "sweep"
    err = refused(capsys, ["sweep", *config, f"--workdir={workdir}", *flags])
    assert named in err
    assert not workdir.exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "Usage"),
        (["swep"], "unknown command 'swep'"),
        (["sweep", CONFIG], "--workdir"),
        (["sweep", "--workdir=x"], "--config"),
    ],
)
def test_incomplete_commands_are_named(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert named in out + err


@pytest.mark.parametrize("arguments", [["--help"], ["sweep", "--help"]])
def test_help_exits_clean(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 0
    assert "onset" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "named"), [(b"", "empty"), (b"caf\xe9", "UTF-8"), (b"ab", "symbols")]
)
def test_unusable_texts_are_named(
    content: bytes, named: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    text.write_bytes(content)
    flags = [f"--workdir={tmp_path}/sweep", f"--config.task.text={text}"]
    err = refused(capsys, ["sweep", CONFIG, *flags])
    assert named in err
    assert str(text) in err or "task.text" in err


def test_a_config_file_without_get_config_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "empty_config.py").write_text("x = 1\n")
    flags = [f"--config={tmp_path}/empty_config.py", f"--workdir={tmp_path}/s"]
    assert "empty_config.py" in refused(capsys, ["sweep", *flags])


def test_a_foreign_directory_is_left_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    err = refused(capsys, ["sweep", CONFIG, f"--workdir={tmp_path}"])
    assert "not empty" in err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_damaged_manifest_is_left_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / MANIFEST).write_text('{"complete": tr')
    assert "damaged" in refused(capsys, ["sweep", CONFIG, f"--workdir={tmp_path}"])
    assert (tmp_path / MANIFEST).read_text() == '{"complete": tr'


def test_a_directory_under_a_file_cannot_be_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    err = refused(capsys, ["sweep", CONFIG, f"--workdir={tmp_path}/file/sweep"])
    assert "cannot be written" in err


def test_too_little_disk_is_named(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(10**9, 10**9, 1000))
    err = refused(capsys, ["sweep", CONFIG, f"--workdir={tmp_path}/sweep"])
    assert "MB are free" in err
