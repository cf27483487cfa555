"""Recipes keep the sweep's settings, and do what they say among stand-ins for tools."""

import contextlib
import io
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import sweeps.commands.sweep
from sweeps.clusters.launch import TARGETS
from sweeps.errors import HIDDEN
from sweeps.main import main, parse
from tests import ROOT
from tests.sweeps.clusters.recipe_tools import install, run, start, sweep_arguments

CONFIG = f"{ROOT}/configs/attention.py"
SCRIPTS = ("slurm", "tpu-vm")
# What a shell, YAML or Kubernetes could take for its own. Line breaks and other control
# characters are refused.
AWKWARD = st.text(
    st.sampled_from("a 1'\"\\$(){}*?!#&;|<>`~%=,:-é𝕏"), max_size=60
) | st.text(st.characters(exclude_categories=HIDDEN), max_size=60)


def recipe(target: str, *flags: str, workdir: str = "/shared/run") -> str:
    out = io.StringIO()
    arguments = [f"--config={CONFIG}", f"--workdir={workdir}", "--image=place/onset:1"]
    with contextlib.redirect_stdout(out):
        assert main(["launch", f"--target={target}", *arguments, *flags]) == 0
    return out.getvalue()


def container(manifest: str) -> dict[str, Any]:
    job = yaml.safe_load(manifest)["spec"]["replicatedJobs"][0]["template"]["spec"]
    (only,) = job["template"]["spec"]["containers"]
    return dict(only)


def as_kubernetes_runs(command: list[str]) -> list[str]:
    """Its rule for $: $$ is one, $(NAME) a variable, anything else stays."""

    def expand(found: re.Match[str]) -> str:
        return "$" if found[0] == "$$" else "EXPANDED"

    return [re.sub(r"\$\$|\$\([^)]*\)", expand, word) for word in command]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tools")
    install(folder)
    return folder


def started(target: str, here: Path, *flags: str, **more: str) -> list[str]:
    """Arguments that the sweep of a recipe starts with."""
    text = recipe(target, *flags, **more)
    if target == "gke":
        return as_kubernetes_runs(container(text)["command"])
    assert run(text, here) == 0
    return sweep_arguments(here)


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=25, deadline=None)  # each starts a dozen processes
@given(text=AWKWARD, folder=AWKWARD)
def test_settings_arrive_as_they_were_given(
    target: str, here: Path, text: str, folder: str
) -> None:
    workdir = f"/shared/runs/{folder}"
    seen = started(target, here, f"--config.task.text={text}", workdir=workdir)
    config = "attention.py" if target == "tpu-vm" else CONFIG
    assert seen == [
        *("onset", "sweep", f"--config={config}", f"--workdir={workdir}"),
        *("--distributed", f"--config.task.text={text}"),
    ]


@pytest.mark.parametrize("target", TARGETS)
def test_the_sweep_gets_the_same_config(target: str, here: Path) -> None:
    flags = [
        "--config.train.learning_rate=3e-3",
        "--config.train.betas=(0.8,0.9)",
        "--config.knobs.token.brake=0.1",
        "--config.router.rotary",
        "--noconfig.sweep.zero",
        "--config.sweep.num=4",
    ]
    given_flags = [f"--config={CONFIG}", "--workdir=/shared/run", *flags]
    wanted, _ = parse(sweeps.commands.sweep, "sweep", given_flags)
    seen = [word for word in started(target, here, *flags) if word != "--distributed"]
    seen[2] = f"--config={CONFIG}"
    got, _ = parse(sweeps.commands.sweep, "sweep", seen[2:])
    assert got.config.to_json() == wanted.config.to_json()
    assert got.workdir == "/shared/run"


def test_a_preset_stays_with_its_config(here: Path) -> None:
    text = recipe("tpu-vm", f"--config={CONFIG}:full")
    assert run(text, here) == 0
    assert sweep_arguments(here)[2] == "--config=attention.py:full"
    assert f"tpu-vm scp {CONFIG} onset-v5litepod-16:onset/attention.py" in (
        here / "gcloud"
    ).read_text().replace("'", "")


@pytest.mark.parametrize("target", SCRIPTS)
def test_shellcheck_finds_nothing(target: str, tmp_path: Path) -> None:
    beside = Path(sys.executable).parent
    found = shutil.which("shellcheck", path=beside) or shutil.which("shellcheck")
    assert found, "shellcheck comes with the extra dev"
    for name, text in (
        ("filled.sh", recipe(target, "--zone=here-1a")),
        (
            "template.sh",
            (ROOT / "sweeps/clusters/recipes" / TARGETS[target]).read_text(),
        ),
    ):
        (tmp_path / name).write_text(text)
        subprocess.run(["bash", "-n", tmp_path / name], check=True)
        done = subprocess.run([found, tmp_path / name], capture_output=True, text=True)
        assert done.stdout == ""


@pytest.mark.parametrize(("code", "requeued"), [(0, False), (2, False), (75, True)])
def test_slurm_requeues_what_was_stopped(code: int, requeued: bool, here: Path) -> None:
    assert run(recipe("slurm"), here, CODE=str(code)) == code
    assert (here / "scontrol").exists() == requeued
    assert not requeued or (here / "scontrol").read_text() == "requeue 7 "


def test_slurm_passes_the_signal_on_and_waits(here: Path) -> None:
    process = start(recipe("slurm", "--nodes=4"), here, CODE="75", HOLD="1")
    for _ in range(500):  # until its step runs
        if (here / "argv").exists():
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 75
    assert (here / "scancel").read_text() == "--signal=TERM 7 "
    assert (here / "scontrol").read_text() == "requeue 7 "


def test_slurm_asks_for_its_nodes() -> None:
    wanted = re.findall(r"^#SBATCH (\S+)$", recipe("slurm", "--nodes=3"), re.MULTILINE)
    assert {"--nodes=3", "--ntasks-per-node=1", "--requeue"} <= set(wanted)
    assert "--signal=B:TERM@120" in wanted


def test_a_tpu_script_stops_where_the_sweep_does(here: Path) -> None:
    assert run(recipe("tpu-vm", "--zone=here-1a"), here, CODE="75") == 75
    calls = (here / "gcloud").read_text().splitlines()
    assert all("--zone=here-1a" in call for call in calls if "compute" in call)
    ssh = [call for call in calls if "tpu-vm ssh" in call]
    assert ssh and all("--worker=all" in call for call in ssh)


@pytest.mark.parametrize(
    ("accelerator", "hosts", "chips", "selector", "topology"),
    [
        ("v5litepod-16", 4, 4, "tpu-v5-lite-podslice", "4x4"),
        ("v5litepod-8", 1, 8, "tpu-v5-lite-podslice", "2x4"),
        ("v6e-4", 1, 4, "tpu-v6e-slice", "2x2"),
        ("v5p-16", 2, 4, "tpu-v5p-slice", "2x2x2"),
        ("v4-8", 1, 4, "tpu-v4-podslice", "2x2x1"),
    ],
)
def test_a_jobset_asks_for_the_slice(
    accelerator: str, hosts: int, chips: int, selector: str, topology: str
) -> None:
    flags = (f"--accelerator={accelerator}", f"--nodes={hosts}")
    manifest = yaml.safe_load(recipe("gke", *flags))
    assert manifest["apiVersion"] == "jobset.x-k8s.io/v1alpha2"
    assert manifest["kind"] == "JobSet"
    (replicated,) = manifest["spec"]["replicatedJobs"]
    assert replicated["replicas"] == 1
    job = replicated["template"]["spec"]
    assert job["parallelism"] == job["completions"] == hosts
    pod = job["template"]["spec"]
    assert pod["nodeSelector"] == {
        "cloud.google.com/gke-tpu-accelerator": selector,
        "cloud.google.com/gke-tpu-topology": topology,
    }
    (only,) = pod["containers"]
    assert only["image"] == "place/onset:1"
    wanted = {"google.com/tpu": chips}
    assert only["resources"] == {"requests": wanted, "limits": wanted}


@given(st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1))
def test_a_jobset_mounts_where_the_results_go(folder: str) -> None:
    folder = "x" + folder.replace("/", "")
    text = recipe("gke", "--claim=disk", workdir=f"/{folder}/run")
    (job,) = yaml.safe_load(text)["spec"]["replicatedJobs"]
    pod = job["template"]["spec"]["template"]["spec"]
    (mount,) = pod["containers"][0]["volumeMounts"]
    (volume,) = pod["volumes"]
    assert mount == {"name": volume["name"], "mountPath": f"/{folder}"}
    assert volume["persistentVolumeClaim"] == {"claimName": "disk"}


def test_a_jobset_goes_on_after_75_and_not_after_2() -> None:
    spec = yaml.safe_load(recipe("gke"))["spec"]
    job = spec["replicatedJobs"][0]["template"]["spec"]
    pod = job["template"]["spec"]
    assert pod["restartPolicy"] == "Never"  # a podFailurePolicy demands it
    assert pod["terminationGracePeriodSeconds"] == 120
    codes = {
        rule["action"]: rule["onExitCodes"]
        for rule in job["podFailurePolicy"]["rules"]
        if "onExitCodes" in rule
    }
    assert codes["Ignore"]["values"] == [75] and codes["FailJob"]["values"] == [2]
    name = pod["containers"][0]["name"]
    for rule in codes.values():
        assert rule["operator"] == "In" and rule["containerName"] == name
    (rule,) = spec["failurePolicy"]["rules"]
    assert rule["action"] == "FailJobSet"
    assert rule["onJobFailureReasons"] == ["PodFailurePolicy"]


WELL = {
    "target": "tpu-vm",
    "config": CONFIG,
    "workdir": "/shared/run",
    "image": "place/onset:1",
}
BAD = {
    "unknown target": ({"target": "cloud"}, "--target=cloud: must be one of slurm"),
    "no target": ({"target": None}, "--target is required"),
    "no config": ({"config": None}, "--config is required"),
    "no workdir": ({"workdir": None}, "--workdir is required"),
    "no nodes": ({"target": "slurm", "nodes": "0"}, "--nodes=0"),
    "not the slice's nodes": ({"nodes": "3"}, "must be 4, as v5litepod-16 has 4"),
    "unknown accelerator": ({"accelerator": "v5litepod-7"}, "v5litepod-8"),
    "workdir of one host": ({"workdir": "runs/a"}, "4 hosts share it"),
    "workdir of one node": (
        {"target": "slurm", "nodes": "2", "workdir": "runs/a"},
        "2 hosts share it",
    ),
    "workdir in a container": (
        {"target": "gke", "accelerator": "v6e-1", "workdir": "runs/a"},
        "container",
    ),
    "a line break": ({"workdir": "/shared/a\nb"}, r"--workdir=/shared/a\nb: must be"),
    "a bucket": ({"workdir": "gs://bucket/run"}, "gcsfuse"),
    "a bucket on one host": (
        {"accelerator": "v6e-1", "workdir": "gs://bucket/run"},
        "gcsfuse",
    ),
    "a workdir without a folder": ({"target": "gke", "workdir": "/run"}, "inside"),
    "no image": ({"target": "gke", "image": ""}, "--image="),
    "zone": ({"zone": "a b"}, "--zone=a b"),
    "cluster": ({"target": "gke", "cluster": "a\nb"}, "--cluster="),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    changed, named = BAD[case]
    flags = [f"--{k}={v}" for k, v in {**WELL, **changed}.items() if v is not None]
    assert main(["launch", *flags]) == 2
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1
    assert named in err


def test_one_host_may_keep_its_own_record(here: Path) -> None:
    flags = ("--accelerator=v5litepod-8",)
    assert "--workdir=runs/a" in started("tpu-vm", here, *flags, workdir="runs/a")
