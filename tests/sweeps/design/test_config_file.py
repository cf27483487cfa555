"""Config files that are none: one line with the file's line, and nothing happens."""

import os
from pathlib import Path

import pytest

from routers import ROUTERS
from sweeps.design.config_file import load_config
from sweeps.errors import BadInput
from sweeps.main import main, parse
from tests import ROOT

CONFIGS = ROOT / "configs"
START = "from configs import attention\n\n\ndef get_config():\n"
START += "    config = attention.get_config()\n"
END = "    return config\n"

# What stands in the file, which line the message names, and what else it says.
FILES: dict[str, tuple[str, int | None, str]] = {
    "syntax": ("x = (\n", 1, "SyntaxError"),
    "indentation": ("def get_config():\nreturn 1\n", 2, "IndentationError"),
    "null bytes": ("a\0b", None, "SyntaxError"),
    "raises": ("\nraise RuntimeError('why\\nnot')\n", 2, "RuntimeError: why"),
    "raises nothing": ("\nraise RuntimeError\n", 2, "RuntimeError"),
    "imports nothing": ("import no_such_module\n", 1, "no_such_module"),
    "ends the program": ("import sys\nsys.exit(0)\n", 2, "sys.exit(0)"),
    "ends it later": (START + "    exit(1)\n", 6, "sys.exit(1)"),
    "an endless recursion": ("def f(): f()\nf()\n", 1, "RecursionError"),
    "nothing": ("", None, "no get_config()"),
    "no function": ("get_config = 3\n", None, "no get_config()"),
    "wants arguments": ("def get_config(a, b): pass\n", None, "TypeError"),
    "returns nothing": (START, None, "must return a ConfigDict, not NoneType"),
    "returns a dict": (
        "def get_config():\n    return {}\n",
        None,
        "must return a ConfigDict, not dict",
    ),
    "KeyError": (START + "    config.x = {}['the reason']\n", 6, "the reason"),
    "AttributeError": (START + "    config.swep.num = 3\n", 6, "swep"),
    "a misspelt key": (
        START + "    config.sweep.sedes = 3\n" + END,
        6,
        "sweep.sedes: no such config key; did you mean 'seeds'?",
    ),
    "a misspelt block": (START + "    config.swep = {}\n" + END, 6, "swep: no such"),
    "a missing block": (START + "    del config.sweep\n" + END, 6, "sweep: is missing"),
    "a missing key": (START + "    del config.eval.points\n" + END, 6, "eval.points"),
    "a number for a block": (
        "from configs import default\nfrom ml_collections import ConfigDict\n"
        "def get_config():\n    return ConfigDict({**default.get_config(),\n"
        "        'train': 3})\n",
        5,
        "train=3: must be a block",
    ),
    "a block for a number": (
        START + "    with config.ignore_type():\n"
        "        config.seed = {'a': 1}\n" + END,
        7,
        "seed",
    ),
    "an array": (
        "import numpy as np\n" + START + "    with config.ignore_type():\n"
        "        config.train.steps = np.arange(3)\n" + END,
        8,
        "train.steps=array([0, 1, 2]): must be a whole number",
    ),
    "an object": (
        START + "    config.router.slopes = print\n" + END,
        6,
        "slopes",
    ),
    "infinity": (
        START + "    config.train.weight_decay = float('inf')\n" + END,
        6,
        "train.weight_decay=inf: must be a finite number",
    ),
    "a text of lines": (
        START + "    config.wandb.project = 'a\\nb'\n" + END,
        6,
        "must be one line",
    ),
    "an integer that wraps": (START + "    config.seed = 2**64\n" + END, 6, "2^63"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_config_that_is_none_names_its_line(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, line, said = FILES[case]
    path = tmp_path / "mine.py"
    path.write_text(content)
    flags = [f"--config={path}", f"--workdir={tmp_path}/sweep"]
    assert main(["sweep", *flags]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith(f"onset sweep: --config={path}: ")
    assert said in err
    assert line is None or f": line {line}: " in err
    assert not (tmp_path / "sweep").exists()


def test_files_that_are_no_python_are_refused_by_kind_and_size(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    with (tmp_path / "zeros.py").open("wb") as file:
        file.truncate(2 * 10**9)
    picture = ROOT / "docs/onset.png"
    for path, said in (
        (tmp_path / "pipe.py", "must be a file"),
        (tmp_path / "zeros.py", "at most"),
        (tmp_path, "is a folder"),
        (Path("/dev/zero"), "must be a file"),
        (picture, "SyntaxError"),
        (ROOT / "README.md", "SyntaxError"),
        (CONFIGS / "default.py", "must be an experiment"),
        (CONFIGS / "__init__.py", "no get_config()"),
        (Path("~nobody_of_this_name/x.py"), "no such file"),
    ):
        with pytest.raises(BadInput) as caught:
            load_config(str(path))
        assert said in str(caught.value), path
        assert len(str(caught.value).splitlines()) == 1


def test_every_config_of_ours_loads() -> None:
    for path in sorted(CONFIGS.glob("*.py")):
        if path.stem not in ("__init__", "default"):
            assert load_config(str(path)).router.name in ROUTERS
    assert load_config(f"{CONFIGS}/attention.py:full").sweep.seeds == 16


def test_numbers_of_numpy_and_byte_order_marks_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "a:b.py"  # a colon need not start a preset
    content = "import numpy as np\n" + START + "    with config.ignore_type():\n"
    content += "        config.train.steps = np.int64(7)\n" + END
    path.write_text("\ufeff" + content)
    steps = load_config(str(path)).train.steps
    assert steps == 7 and type(steps) is int


def read(*flags: str):
    import sweeps.commands.sweep

    given = [f"--config={CONFIGS}/gla.py", "--workdir=x", *flags]
    return parse(sweeps.commands.sweep, "sweep", given)[0].config


def test_knobs_and_settings_of_a_router_can_be_set_on_the_command_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    router, settings = ROUTERS["gla"]
    own = [name for name in vars(settings()) if name not in read().router]
    own = [name for name in own if isinstance(getattr(settings(), name), int | float)]
    assert own
    changed = getattr(settings(), own[0])
    config = read(f"--config.router.{own[0]}={changed}")
    assert config.router[own[0]] == changed
    for name, knob in router.knobs.items():
        config = read(f"--config.knobs.token.{name}={knob.neutral}")
        assert config.knobs.token[name] == knob.neutral
    flags = [f"--config={CONFIGS}/gla.py", "--workdir=x"]
    for flag in ("--config.knobs.token.oracle=1", "--config.router.oracle=1"):
        assert main(["sweep", *flags, flag]) == 2
        assert "oracle" in capsys.readouterr().err
