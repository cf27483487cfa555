"""Bad input of `onset measure`: one clear line, exit code 2, nothing written."""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from routers.pretrained import open_model
from sweeps.commands import measure as command
from sweeps.main import main
from sweeps.measured.asked import Asked, open_asked
from sweeps.measured.windows import read_windows
from tests.sweeps.measured.models import FIXTURES, copy_model, expected, write_texts

CASES: dict[str, tuple[Sequence[str], str]] = {
    "no model": ([], "MODEL is required: a folder, a .gguf file, or a name on"),
    "an empty name": ([""], "MODEL is required"),
    "a missing folder": (["/no/where"], "/no/where: is missing"),
    "a missing file": (["model.gguf"], "model.gguf: is missing"),
    "a long name": (["a" * 300], "must be a path of at most"),
    "an URL": (["https://hf.co/gpt2"], "https://hf.co/gpt2: must be a path"),
    "a revision of a folder": (["GPT2", "--revision=main"], "--revision=main: must be"),
    "pickled weights": (["PICKLED"], "pickled weights are not read"),
    "an unknown architecture": (["T5"], "model_type='t5' must be 'bert' or 'gpt2'"),
    "no tokenizer": ([f"{FIXTURES}/gpt2"], "tokenizer.json: is missing"),
    "two of one name": (
        ["GPT2", f"{FIXTURES}/gpt2"],
        "must have different names, which their folders in --workdir=",
    ),
    "the second is missing": (["GPT2", "/no/where"], "/no/where: is missing"),
    "a missing text": (["GPT2", "--text=/no/text"], "--text=/no/text: no such file"),
    "a folder as text": (["GPT2", "--text=/"], "--text=/: must be a file"),
    "no text": (["GPT2", "--text="], "--text=: must name at least one text"),
    "a text twice": (["GPT2", "--text=a,a"], "--text=a,a: must name at least one"),
    "a short text": (
        ["GPT2", "--windows=3"],
        "has 24 tokens, too few for 3 windows of 12; give a longer text",
    ),
    "short windows": (["GPT2", "--length=9"], "--length=9: must be at least 10"),
    "long windows": (
        ["GPT2", "--length=17"],
        "--length=17: must be at most 16, the positions that",
    ),
    "no windows": (["GPT2", "--windows=0"], "--windows=0: must be a positive"),
    "windows that texts cannot share": (
        ["GPT2", "--text=a,b", "--windows=3"],
        "--windows=3: must be a positive multiple of the number of texts, 2",
    ),
    "an unknown knob": (
        ["GPT2", "--knob=token.carry"],
        "--knob=token.carry: must be one of the knobs token.brake, token.content",
    ),
    "a knob out of range": (
        ["GPT2", "--knob=token.norm_awareness", "--num=2", "--high=2"],
        "--knob=token.norm_awareness: the value 2 must be between 0 and 1",
    ),
    "a negative number": (["GPT2", "--num=-1"], "--num=-1: must be at least 0"),
    "a low of 0": (
        ["GPT2", "--num=2", "--low=0"],
        "--low=0.0: must be a finite number above 0 (--zero adds 0)",
    ),
    "a high that is none": (["GPT2", "--num=2", "--high=nan"], "--high=nan: must be"),
    "an inverted range": (
        ["GPT2", "--num=2", "--low=3"],
        "--low=3.0: must not exceed --high=1.0",
    ),
    "one value twice": (
        ["GPT2", "--num=2", "--low=1"],
        "--low=--high=1.0: leaves one value, which needs --num=1",
    ),
    "values too close": (
        ["GPT2", "--num=3", "--low=0.99999"],
        "--num=3: must leave values that differ in four digits",
    ),
    "no number": (["GPT2", "--num=two"], "--num=two: invalid literal"),
    "an unknown type": (["GPT2", "--dtype=int8"], "--dtype='int8': must be one of"),
    "no groups": (["GPT2", "--groups=0"], "--groups=0: must be at least 1"),
    "no reader": (["GPT2", "--reader=x"], "--reader='x': must be of the form"),
    "a negative seed": (["GPT2", "--seed=-1"], "--seed=-1: must be at least 0"),
    "a work directory that is none": (["GPT2", "--workdir="], "--workdir is required"),
}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Models and a text by the names that the cases use."""
    folder = tmp_path_factory.mktemp("bad")
    good = copy_model("gpt2", folder)
    for name in ("pickled", "t5"):
        shutil.copytree(good, folder / name)
    (folder / "pickled" / "model.safetensors").rename(
        folder / "pickled" / "pytorch_model.bin"
    )
    settings = folder / "t5" / "config.json"
    changed = json.loads(settings.read_text()) | {"model_type": "t5"}
    settings.write_text(json.dumps(changed))
    text = write_texts(expected("gpt2")["tokens"].reshape(1, -1), folder)
    known = {name.upper(): str(folder / name) for name in ("gpt2", "pickled", "t5")}
    return known | {"TEXT": text}


@pytest.mark.parametrize("case", CASES)
def test_is_named_in_one_line(
    case: str,
    places: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given, message = CASES[case]
    small = (f"--text={places['TEXT']}", "--length=12", "--windows=2")
    arguments = [places.get(one, one) for one in given]
    workdir = tmp_path / "work"
    assert main(["measure", *small, f"--workdir={workdir}", *arguments]) == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert line.startswith("onset measure: ") and message in line and not said.out
    assert not workdir.exists()


@pytest.mark.parametrize("package", ["safetensors", "tokenizers", "gguf"])
def test_a_package_is_missing(
    package: str,
    places: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    model = str(FIXTURES / "llama.gguf") if package == "gguf" else places["GPT2"]
    workdir = tmp_path / "work"
    assert main(["measure", model, "--length=12", f"--workdir={workdir}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("pip install 'router-sweeps[pretrained]'")
    assert f"the package {package} is not installed" in line and not workdir.exists()


def test_each_of_several_models_has_a_folder(
    places: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = []
    monkeypatch.setattr(command, "open_asked", lambda asked: asked)
    monkeypatch.setattr(
        command, "measure", lambda one, workdir, *_: measured.append((one, workdir))
    )
    names = ("a/Qwen3-0.6B/", "b/model.Q4_1.gguf", "EleutherAI/pythia-160m")
    assert main(["measure", *names, f"--workdir={tmp_path}", "--windows=4"]) == 0
    assert [workdir.name for _, workdir in measured] == [
        "Qwen3-0.6B",
        "model.Q4_1",
        "pythia-160m",
    ]
    assert [one.model for one, _ in measured] == list(names)
    assert {one.windows for one, _ in measured} == {4}


def test_windows_take_turns_and_keep_what_stands_around_a_text(tmp_path: Path) -> None:
    tokens = np.asarray([[5] * 11 + [6] * 11, [7] * 11 + [8] * 11])
    texts = write_texts(tokens, tmp_path).split(",")
    model = open_model(copy_model("bert", tmp_path, framed=True))
    found = read_windows(model, texts, length=12, windows=4)
    assert found.texts == 2 and found.tokens.dtype == np.int32
    starts, ends = found.tokens[:, 0], found.tokens[:, -1]
    assert set(starts) == {1} and set(ends) == {2}
    assert found.tokens[:, 1:-1].min(1).tolist() == [5, 7, 6, 8]
    one = read_windows(model, texts[:1], length=12, windows=1)
    assert one.tokens[0, 1:-1].tolist() == [5] * 10


def test_a_commit_takes_the_place_of_a_revision(
    places: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sweeps.measured import asked as module

    monkeypatch.setattr(module, "locate", lambda *_: (Path(places["GPT2"]), "50f5173"))
    asked = Asked(
        model="openai-community/gpt2",
        texts=(places["TEXT"],),
        length=12,
        windows=2,
        knob="token.null_sink",
        low=0.5,
        high=1.0,
        num=2,
        zero=False,
        dtype="float32",
        groups=1,
        reader="",
        revision="main",
        seed=0,
    )
    opened = open_asked(asked)
    assert opened.asked.revision == "50f5173" and asked.revision == "main"
    assert opened.values == (0.5, 1.0) and opened.neutral == 0.0
