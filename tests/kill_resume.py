"""Kills a sweep at random moments until it has died often enough; compares the bits.

    python tests/kill_resume.py --kills=50

A small sweep of the default attention model runs once undisturbed. Then it is launched
again and again into other directories, each launch killed with SIGKILL after a random
time, until it has died as often as asked. Every sweep that comes to its end must have
left the same Parquet table, the same onset.json and the same parameters, final and kept
on the way, bit by bit, and nothing half-written.
"""

import argparse
import collections
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SETTINGS = {
    "sweep.num": 2,
    "sweep.seeds": 2,
    "task.symbols": 24,
    "train.steps": 240,
    "eval.points": 40,
    "train.keep_every": 24,
    "eval.sequences": 8,
    "eval.diagnosed": 0,
    "wandb.mode": "disabled",
}
RECORD = ("metrics.parquet", "onset.json")


def start(workdir: Path, cache: Path, more: list[str]) -> "subprocess.Popen[bytes]":
    """Launches the sweep in a process of its own."""
    command = [sys.executable, "-m", "sweeps.main", "sweep", f"--workdir={workdir}"]
    command += [f"--config={ROOT}/configs/attention.py"]
    command += [f"--config.{key}={value}" for key, value in SETTINGS.items()]
    places = {"JAX_COMPILATION_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)}
    enabled = {"JAX_ENABLE_COMPILATION_CACHE": "true"}
    return subprocess.Popen(
        [*command, *more],
        env=os.environ | places | enabled,
        stdout=(workdir.parent / "out.txt").open("wb"),
        stderr=subprocess.STDOUT,
    )


def phase(workdir: Path) -> str:
    """Where a sweep was when it died, from what it left."""
    waves = list(workdir.glob("checkpoints/wave-*"))
    if not (workdir / "manifest.json").exists():
        return "before its directory"
    if not waves:
        return "before its first save, or after its last"
    if any("tmp" in path.name for wave in waves for path in wave.iterdir()):
        return "while saving"
    points = max(int(path.stem) for wave in waves for path in wave.glob("*.npz"))
    return "writing results" if points == SETTINGS["eval.points"] else "training"


def parameters(workdir: Path) -> dict[str, bytes]:
    """Every array of the final checkpoint and of the kept ones, by path."""
    from orbax.checkpoint import v1 as ocp

    from train.checkpoint import load_part

    folder = workdir / "checkpoints"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it was saved from these very devices
        trees = {"final": ocp.load(folder / "final")}
    for path in folder.glob("kept/*/*"):
        trees[str(path.relative_to(folder))] = load_part(path, ())
    found: dict[str, bytes] = {}

    def walk(path: str, node: Any) -> None:
        if isinstance(node, dict):
            for key, inner in node.items():
                walk(f"{path}/{key}", inner)
        elif isinstance(node, list | tuple):
            for index, inner in enumerate(node):
                walk(f"{path}/{index}", inner)
        elif node is not None:
            found[path] = node.tobytes()

    walk("", trees)
    return found


def compare(workdir: Path, reference: Path) -> list[str]:
    """What differs between two finished sweeps."""
    wrong = [
        name
        for name in RECORD
        if (workdir / name).read_bytes() != (reference / name).read_bytes()
    ]
    if parameters(workdir) != parameters(reference):
        wrong.append("parameters")
    left = [path.name for path in workdir.rglob("*") if "tmp" in path.name]
    return wrong + left + [path.name for path in workdir.glob("checkpoints/wave-*")]


def run(kills: int, seed: int, folder: Path, more: list[str]) -> int:
    """Kills and resumes; returns the number of sweeps that were not as they should."""
    chance, phases = random.Random(seed), collections.Counter[str]()
    reference, cache = folder / "reference", folder / "cache"
    assert start(reference, cache, more).wait() == 0, (folder / "out.txt").read_text()
    begun = time.perf_counter()
    start(folder / "warm", cache, more).wait()
    longest = time.perf_counter() - begun
    print(f"undisturbed, its programs in the cache: {longest:.1f} s", flush=True)
    died = finished = failures = 0
    while died < kills:
        workdir = folder / f"killed-{finished}"
        process = start(workdir, cache, more)
        try:
            code = process.wait(timeout=chance.uniform(0, longest))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            died += 1
            phases[phase(workdir)] += 1
            continue
        failures += finish(workdir, code, reference)
        finished += 1
    workdir = folder / f"killed-{finished}"
    failures += finish(workdir, start(workdir, cache, more).wait(), reference)
    print(f"{died} kills, {finished + 1} sweeps to their end, {failures} not the same")
    for name, count in phases.most_common():
        print(f"  {count:3} {name}")
    return failures


def finish(workdir: Path, code: int, reference: Path) -> bool:
    """Whether a sweep that ended was not as it should be; says why."""
    wrong = compare(workdir, reference) if code == 0 else [f"exit code {code}"]
    if wrong:
        print(f"{workdir.name}: {', '.join(wrong)}")
        print((workdir.parent / "out.txt").read_text(errors="replace")[-2000:])
    else:
        shutil.rmtree(workdir)
    return bool(wrong)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    known, others = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as place:
        sys.exit(run(known.kills, known.seed, Path(place), others) > 0)
