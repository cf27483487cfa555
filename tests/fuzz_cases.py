"""Hostile command lines by kind: numbers, texts, config files, data, names, outputs.

Every maker draws one case from a generator and puts the files that the case needs into
a folder of its own. The values come from the table of ranges and from the lists below.
"""

import dataclasses
import io
import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from configs import attention
from sweeps.design.ranges import RANGES, flat_items
from tests import ROOT

CONFIGS = [
    *("attention.py", "attention.py:full", "gla.py", "rwkv4.py", "ssd.py"),
    *("graph_attention.py", "graph_digits.py", "depth_attention.py"),
    *("hyper_connections.py", "attention_dirichlet.py"),
]
NUMBERS = [
    *("-1", "0", "1", "2", "3", "7", "0.5", "-0.0", "1e-9", "1e-300", "1e-320"),
    *("1000000000000", "1" + "0" * 30, "-1" + "0" * 30, "1e12", "1e30", "-1e30"),
    *("1e308", "1e999", "inf", "-inf", "nan", "2147483648", "4294967296"),
    *("9223372036854775808", "18446744073709551616", "9" * 5000, "0x10", "1_000"),
    *("", " ", "None", "True", "x", "1,2", "(1,2)", "(.9,.9,.9)", "[]", "{}"),
    *("(0.9,)", "(-1,2)", "((1,2),3)", "'1'", "1+1", "__import__('os')", "1j"),
    *("(" * 500, "१", "½"),
]
TEXTS = [
    *(
        "",
        " ",
        "x",
        "attention",
        "../..",
        "[/red]",
        "[bold]",
        "a\nb",
        "a\tb",
        "\x1b[31m",
    ),
    *("\udcff\udcfe", "é𝕏", "x" * 5000, "'", '"', "$HOME", "`ls`", "{}", "%s", "a,b"),
    *(
        "~",
        "~noone_here/x",
        "gs://bucket/x",
        "file:///etc/passwd",
        "http://a/b",
        "None",
    ),
    *("/dev/zero", "/dev/null", "/dev/stdin", "/proc/self/mem", "/", ".", "tfds:"),
    *("tfds:x", "tfds:../x", "-1", "0", "True", "\u202eabc", "|", "a|b", "$x_$", "*"),
]
NAMES = [
    *("[/red]", "lr=[a]", "a b", "a\nb", "\udcff", "x" * 256, "x" * 5000, "~", "~root"),
    *("~noone_here/x", "gs://bucket/run", "s3://a", "file:///tmp/x", "'", '"', "$HOME"),
    *("a/../b", "-", "--", "*", "?", "a|b", "a\\b", "é𝕏", " ", "", "\x07"),
    *("%s", "{x}", "&", ";", "CON", "a:b", ".", "..", "/", "//", "/dev/null/x"),
    *("/proc/x", "/dev/null", "link", "loop", "file", "file/x", "folder", "pipe"),
    *("done", "done/onset.json", "done/figures/a.png", "none/x", "new/", "new.png"),
    *("new.docx", "new.", ".png", "new.PNG", "new.svg", "closed/x.md", "full.md"),
]
STRINGS = [key for key, v in flat_items(attention.get_config()) if isinstance(v, str)]
FLAGS = {
    "sweep": ("workdir", "processes", "process", "coordinator", "distributed"),
    "compare": ("over", "output", "figure"),
    "check": ("width", "seed"),
    "coverage": ("replicates", "seed", "output"),
    "refinement": ("replicates", "seed", "output"),
    "plan": ("topology",),
    "launch": ("target", "workdir", "nodes", "accelerator", "zone", "image", "claim"),
    "bench": ("what", "length", "lengths", "members", "steps", "output", "figure"),
}
PYTHON = [
    *("x = (\n", "raise ValueError('a\\nb')\n", "import sys; sys.exit(0)\n", "\0"),
    *("get_config = 1\n", "def get_config(): return 1\n", "import no_such_module\n"),
    *("def f(): f()\nf()\n", "quit()\n", "1/0\n", "€\n"),
    *("from configs import default\nget_config = default.get_config\n", "print(1)\n"),
]
EDITS = [
    *("del config.sweep", "config.swep = 1", "config.sweep = 3", "config.seed = 2**70"),
    *("config.seed = None", "config.train.steps = 'x'", "config.train.betas = 'ab'"),
    *("config.train.betas = [.9, .9]", "config.model = None", "config.seed = {}"),
    *("config.router = ConfigDict({'name': 3})", "config.router.name = ('a',)"),
    *("config.router = ConfigDict()", "config.knobs.token.brake = 'x'", "config = 1"),
    *("config.knobs.token.x = 1", "config.task.text = chr(0)", "config.eval = []"),
    *("config.x = object()", "config.train.clip = -1", "del config.train.betas"),
    *("config.wandb = {}", "config.sweep.low = np.ones(3)", "config.seed = np.int8(3)"),
    *("config.task.text = 'x' * 10**6", "config.seed = float('nan')", "{}['reason']"),
    *("config.sweep.knob = 3", "config.sweep.zero = 'no'", "config.criterion = ()"),
    *("config.a = config", "config.train.steps = lambda: 1", "config.lock(); exit(0)"),
]
EDIT = (
    "import numpy as np\nfrom ml_collections import ConfigDict\n"
    "from configs import attention\n\n\ndef get_config():\n"
    "    config = attention.get_config()\n    with config.ignore_type():\n"
    "        config.unlock()\n        EDIT\n    return config\n"
)


@dataclasses.dataclass(frozen=True)
class Case:
    """One command line.

    Attributes:
      arguments: The command and its flags.
      refused: Whether it must be refused; None where both answers can be right.
    """

    arguments: list[str]
    refused: bool | None = None


def sweep(folder: Path, *flags: str, config: str = "attention.py") -> list[str]:
    path = config if config.startswith("/") else f"{ROOT}/configs/{config}"
    return ["sweep", f"--config={path}", f"--workdir={folder}/new", *flags]


def number(draw: random.Random, folder: Path) -> Case:
    key = draw.choice(sorted(RANGES))
    value = draw.choice(NUMBERS)
    allowed = RANGES[key]
    try:
        outside = not allowed.many and not allowed.holds(float(value))
    except ValueError:
        outside = False  # no single number, which may still be read as one
    flag = f"--config.{key}={value}"
    return Case(sweep(folder, flag, config=draw.choice(CONFIGS)), outside or None)


def numbers(draw: random.Random, folder: Path) -> Case:
    """Several settings that are each in range, at its ends or not far from them."""
    flags = []
    for key in draw.sample(sorted(RANGES), draw.randint(2, 5)):
        allowed = RANGES[key]
        value = draw.choice([allowed.low, allowed.high, draw.uniform(0, 3), 1, 2, 64])
        text = str(int(value)) if allowed.whole else str(value)
        flags.append(f"--config.{key}={f'({text},{text})' if allowed.many else text}")
    return Case(sweep(folder, *flags, config=draw.choice(CONFIGS)))


def text(draw: random.Random, folder: Path) -> Case:
    flag = f"--config.{draw.choice(STRINGS)}={draw.choice(TEXTS)}"
    return Case(sweep(folder, flag, config=draw.choice(CONFIGS)))


def config_file(draw: random.Random, folder: Path) -> Case:
    path = folder / "mine.py"
    source = (ROOT / "configs/attention.py").read_bytes()
    which = draw.randrange(4)
    if which == 0:
        path.write_text(draw.choice(PYTHON), encoding="utf-8")
    elif which == 1:
        path.write_text(EDIT.replace("EDIT", draw.choice(EDITS)))
    elif which == 2:
        cut = draw.randrange(len(source))
        path.write_bytes(source[:cut] + source[cut + draw.randint(1, 40) :])
    else:
        kinds = [*("README.md", "docs/onset.png", "configs/default.py", "configs")]
        path = ROOT / draw.choice([*kinds, "pyproject.toml", "none.py", "tests"])
    config = str(path) + draw.choice(["", "", "", ":full", ":x", ":", ":a:b"])
    return Case(sweep(folder, config=config), True if which == 3 else None)


def mangled(draw: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.randint(0, 6)):
        changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed[: draw.choice([len(changed), draw.randrange(len(changed))])])


def special(draw: random.Random, path: Path) -> None:
    """Puts something in the place of a file that is none."""
    make: list[Callable[[], object]] = [
        lambda: os.mkfifo(path),
        path.mkdir,
        lambda: path.symlink_to("/dev/zero"),
        lambda: path.symlink_to(path),
        lambda: path.symlink_to("nowhere"),
        lambda: path.write_bytes(b""),
        lambda: path.write_bytes(b"\xef\xbb\xbf"),
        lambda: path.write_bytes(draw.randbytes(2000)),
        lambda: path.write_bytes(b"a b\n" * 50),
        lambda: (path.touch(), os.truncate(path, 3 * 10**9)),
    ]
    draw.choice(make)()


def data(draw: random.Random, folder: Path) -> Case:
    place = folder / "data"
    place.mkdir()
    graph = draw.random() < 0.6
    name = draw.choice(["a.npz", "a.content", "a.cites"]) if graph else "text.txt"
    content = "".join(f"p{i}\t{i % 3}\t1\tc{i % 2}\n" for i in range(12)).encode()
    cites = "".join(f"p{i}\tp{(i + 1) % 12}\n" for i in range(12)).encode()
    if name == "a.cites":
        (place / "a.content").write_bytes(content)
    if name == "a.content":
        (place / "a.cites").write_bytes(cites)
    if draw.random() < 0.4:
        special(draw, place / name)
    else:
        whole = {"a.npz": archive(draw), "a.content": content, "a.cites": cites}
        words = b"the cat sat on the mat and ran " * 90
        (place / name).write_bytes(mangled(draw, whole.get(name, words)))
    if not graph:
        kind = draw.choice(["bytes", "bigram_backcopy"])
        flags = [f"--config.task.text={place}/{name}", f"--config.task.name={kind}"]
        flags.append(f"--config.task.data_dir={folder}/tfds")
        return Case(sweep(folder, *flags))
    flags = [f"--config.task.path={place}", "--config.task.name=graph"]
    flags.append(f"--config.task.symmetrize={draw.choice(['True', 'False'])}")
    return Case(sweep(folder, *flags, config="graph_attention.py"))


def archive(draw: random.Random) -> bytes:
    """A graph, in which one array may be another than it should be."""
    edges = np.stack([np.arange(12), (np.arange(12) + 1) % 12])
    arrays = {"edge_index": edges, "x": np.ones((12, 3)), "y": np.arange(12) % 2}
    odd = [np.ones((0, 3)), np.full((12, 3), np.inf), np.ones(12), np.array("a")]
    odd += [np.arange(12) * 10**9, np.zeros((12, 0)), np.ones((12, 3), complex)]
    odd += [np.array([[0, 99]] * 2), -np.ones((2, 12), int), np.ones(12, bool)]
    if draw.random() < 0.6:
        arrays[draw.choice([*arrays, "train_mask", "test_mask"])] = draw.choice(odd)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", draw.choice([0, 8, 12, 14])) as file:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.save(member, array)
            changed = draw.random() < 0.2
            file.writestr(
                f"{name}.npy",
                mangled(draw, member.getvalue()) if changed else member.getvalue(),
            )
    return stream.getvalue()


def furnish(folder: Path) -> None:
    """What the names of `NAMES` meet in the folder of a case."""
    (folder / "file").write_text("mine")
    (folder / "full.md").symlink_to("/dev/full")
    for name in ("folder", "done", "done/figures", "closed"):
        (folder / name).mkdir()
    (folder / "done/manifest.json").write_text('{"fingerprint": "ab"')
    (folder / "done/onset.json").write_text("the record")
    (folder / "link").symlink_to("done/onset.json")
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")


def name(draw: random.Random, folder: Path) -> Case:
    furnish(folder)
    chosen = draw.choice(NAMES)
    flag = draw.choice(["workdir", "config", "config.task.text", "config.task.path"])
    more = ["--config.task.name=graph"] if flag == "config.task.path" else []
    base = "graph_attention.py" if more else "attention.py"
    return Case([*sweep(folder, *more, config=base), f"--{flag}={chosen}"])


def output(draw: random.Random, folder: Path) -> Case:
    furnish(folder)
    command = draw.choice(["compare", "coverage", "refinement", "bench"])
    figures = command in ("compare", "bench")
    flag = draw.choice(["output", "figure"] if figures else ["output"])
    given = {"compare": ["done", "done"], "bench": [sweep(folder)[1]]}
    arguments = [command, *given.get(command, []), f"--{flag}={draw.choice(NAMES)}"]
    return Case(arguments, True if command == "compare" else None)


def command(draw: random.Random, folder: Path) -> Case:
    furnish(folder)
    chosen = draw.choice([*FLAGS, *FLAGS, "swep", "", "-1", "[/red]", "\udcff", "a\nb"])
    arguments = [sweep(folder)[1]] if chosen in ("sweep", "plan", "launch") else []
    arguments += ["--target=slurm", "--workdir=/a/b"] * (chosen == "launch")
    known = FLAGS.get(chosen, ("x",))
    for _ in range(draw.randint(0, 3)):
        flag = draw.choice([*known, *known, "outptu", "flagfile", "config", "undefok"])
        value = draw.choice([*NUMBERS, *TEXTS])
        arguments.append(draw.choice([f"--{flag}={value}", f"--{flag}", value]))
    return Case([chosen, *arguments])


KINDS: dict[str, tuple[Callable[[random.Random, Path], Case], int]] = {
    "a number": (number, 30),
    "several numbers": (numbers, 12),
    "a text setting": (text, 10),
    "a config file": (config_file, 12),
    "a data file": (data, 14),
    "a name": (name, 8),
    "an output": (output, 6),
    "a command line": (command, 8),
}
"""Makers of cases, with their share in a hundred."""
