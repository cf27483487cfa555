r"""onset launch: prints the recipe that runs a sweep elsewhere; runs nothing itself.

    onset launch --target=slurm --config=configs/attention.py --workdir=/shared/DIR \
        [--nodes=4] [--config.KEY=VALUE ...] > sweep.sh
    onset launch --target=tpu-vm --accelerator=v5litepod-16 --zone=ZONE ...
    onset launch --target=gke --accelerator=v5litepod-16 --image=IMAGE ...

A Slurm batch script, a gcloud script for a Cloud TPU slice, or a JobSet manifest for
GKE, with the sweep's settings as they were given. What these files need to know of a
cluster beyond the flags stands in their first lines.
"""

import dataclasses
import importlib.resources
import os
import re
import shlex
import string
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from absl import flags

from sweeps.clusters.slices import PER_HOST, Slice, parse_accelerator

TARGETS = {"slurm": "slurm.sh", "tpu-vm": "tpu_vm.sh", "gke": "gke.yaml"}
PINNED = ("flax", "optax", "orbax-checkpoint", "wandb", "numpy")
NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?", flags=re.ASCII)
IMAGE = re.compile(r"[a-z0-9][\w.\-/:@]*", flags=re.ASCII)


class BadInput(ValueError):
    """A setting that cannot run; the message is one line for the user."""


class Recipe(string.Template):
    """``__name`` is filled in: a word to the shell and to YAML, so files stay valid."""

    delimiter = "__"
    idpattern = r"(?a:[a-z]+(?:_[a-z]+)*)"
    flags = re.NOFLAG


@dataclasses.dataclass(frozen=True)
class Launch:
    """What is asked for, checked.

    Attributes:
      config: the config file with its preset, as given.
      workdir: as given.
      overrides: ``--config.KEY=VALUE``, in the order given.
      nodes: of a Slurm job.
      slice: of a TPU target.
      zone: "" for gcloud's own.
      image: of GKE's container.
      cluster: of GKE; "" where not given.
      claim: of the volume that GKE mounts as the parent of the work directory.
    """

    config: str
    workdir: str
    overrides: tuple[str, ...]
    nodes: int
    slice: Slice
    zone: str
    image: str
    cluster: str
    claim: str

    def command(self, config: str | None = None) -> list[str]:
        """The sweep's arguments, with another path of the config if it moves."""
        return [
            "onset",
            "sweep",
            f"--config={config or self.config}",
            f"--workdir={self.workdir}",
            "--distributed",
            *self.overrides,
        ]

    @property
    def config_file(self) -> str:
        """The config without its preset."""
        return re.sub(r":[^:/]*$", "", self.config)


def define_flags(values: flags.FlagValues) -> None:
    """Flags of this command beside ``--config``."""
    flags.DEFINE_string("target", None, "slurm, tpu-vm or gke.", flag_values=values)
    flags.DEFINE_string(
        "workdir", None, "Directory for the results, there.", flag_values=values
    )
    flags.DEFINE_integer(
        "nodes", None, "Nodes; those of the TPU slice.", flag_values=values
    )
    flags.DEFINE_string(
        "accelerator", "v5litepod-16", "Accelerator type.", flag_values=values
    )
    flags.DEFINE_string("zone", "", "Zone; gcloud's own if empty.", flag_values=values)
    flags.DEFINE_string("image", "", "Container image (gke).", flag_values=values)
    flags.DEFINE_string("cluster", "", "Cluster (gke).", flag_values=values)
    flags.DEFINE_string(
        "claim",
        "onset",
        "PersistentVolumeClaim of the results (gke).",
        flag_values=values,
    )


def command(values: flags.FlagValues) -> int:
    """Runs the command; returns its exit code."""
    print(launch(values.target, read(values)), end="")
    return 0


def launch(target: str, asked: Launch) -> str:
    """The recipe for a target of `TARGETS`."""
    file = importlib.resources.files("sweeps") / "recipes" / TARGETS[target]
    fill = {"slurm": _slurm, "tpu-vm": _tpu_vm, "gke": _gke}[target]
    return Recipe(file.read_text()).substitute(fill(asked))


def read(values: flags.FlagValues) -> Launch:
    """Checks the flags.

    Raises:
      BadInput: one is missing or wrong.
    """
    for name in ("target", "config", "workdir"):
        if not values[name].value:
            raise BadInput(f"--{name} is required")
    if values.target not in TARGETS:
        raise BadInput(f"--target={values.target}: one of {', '.join(TARGETS)}")
    if values.nodes is not None and values.nodes < 1:
        raise BadInput(f"--nodes={values.nodes}: at least 1")
    try:
        found = parse_accelerator(values.accelerator)
    except ValueError as error:
        raise BadInput(f"--accelerator={error}") from None
    on_slurm = values.target == "slurm"
    nodes = (values.nodes or 1) if on_slurm else found.hosts
    if values.nodes not in (None, nodes):
        raise BadInput(f"--nodes={values.nodes}: {found.accelerator} has {nodes}")
    config: Any = values["config"]
    _check_names(values)
    _check_workdir(values.workdir, values.target, nodes)
    return Launch(
        config=config.config_filename,
        workdir=values.workdir,
        overrides=overrides(values),
        nodes=nodes,
        slice=found,
        zone=values.zone,
        image=values.image,
        cluster=values.cluster,
        claim=values.claim,
    )


def overrides(values: flags.FlagValues) -> tuple[str, ...]:
    """The overrides of the config, each as a flag that parses to the same value."""
    flag: Any = values["config"]
    found = flag.override_values
    return tuple(f"--config.{key}={value}" for key, value in found.items())


def _check_names(values: flags.FlagValues) -> None:
    for flag in ("zone", "cluster", "claim"):
        name = values[flag].value
        if name and not NAME.fullmatch(name):
            raise BadInput(f"--{flag}={name}: lower-case letters, digits and -")
    if values.target == "gke" and not IMAGE.fullmatch(values.image):
        raise BadInput(
            f"--image={values.image}: a container image that holds the package, as "
            "us-docker.pkg.dev/PROJECT/REPOSITORY/onset:TAG"
        )


def _check_workdir(workdir: str, target: str, nodes: int) -> None:
    """One record is written by all processes, and outlives a container."""
    absolute = PurePosixPath(workdir).is_absolute()
    nested = len(PurePosixPath(workdir).parts) > 2
    if absolute and (nested or target != "gke"):
        return
    if nodes == 1 and target != "gke" and "://" not in workdir:
        return
    why = "a container's own disk is lost" if nodes == 1 else f"{nodes} hosts share it"
    raise BadInput(
        f"--workdir={workdir}: {why}; an absolute path below a folder that every host "
        "mounts, as /shared/run (buckets through gcsfuse)"
    )


def _slurm(asked: Launch) -> dict[str, object]:
    return {
        "nodes": asked.nodes,
        "folder": shlex.quote(os.getcwd()),
        "programs": shlex.quote(os.path.join(sys.prefix, "bin")),
        "command": shlex.join(asked.command()),
    }


def _tpu_vm(asked: Launch) -> dict[str, object]:
    there = path_there(asked.config_file)
    preset = asked.config.removeprefix(asked.config_file)
    sweep = shlex.join(asked.command(there + preset))
    run = f"cd onset && . venv/bin/activate && {sweep}"
    folders = shlex.join(["mkdir", "-p", str(PurePosixPath("onset", there).parent)])
    pins = [f"jax[tpu]=={version('jax')}", *(f"{p}=={version(p)}" for p in PINNED)]
    return {
        "accelerator": asked.slice.accelerator,
        "topology": asked.slice.topology,
        "hosts": asked.nodes,
        "runtime": asked.slice.chip.runtime,
        "zone": asked.zone or '"$(gcloud config get-value compute/zone)"',
        "package": shlex.quote(source()),
        "config": shlex.quote(asked.config_file),
        "config_there": shlex.quote(there),
        "folders": shlex.quote(folders),
        "python": python_version(),
        "versions": shlex.join(pins),
        "command": shlex.quote(run),
    }


def _gke(asked: Launch) -> dict[str, object]:
    return {
        "cluster": asked.cluster or "CLUSTER",
        "location": f"--location={asked.zone}" if asked.zone else "",
        "python": python_version(),
        "jax": version("jax"),
        "hosts": asked.nodes,
        "selector": asked.slice.chip.selector,
        "topology": asked.slice.topology,
        "image": asked.image,
        "command": yaml_list(asked.command()),
        "claim": asked.claim,
        "mount": yaml_word(str(PurePosixPath(asked.workdir).parent)),
        "chips": asked.slice.chips if asked.nodes == 1 else PER_HOST,
    }


def yaml_list(words: Sequence[str]) -> str:
    """Arguments on one line of YAML, safe from Kubernetes' ``$(NAME)``."""
    escaped = [word.replace("$", "$$") for word in words]
    text = yaml.safe_dump(
        escaped, default_style='"', default_flow_style=True, width=2**31
    )
    return str(text).strip()


def yaml_word(word: str) -> str:
    """A string of YAML on one line."""
    return yaml_list([word])[1:-1].replace("$$", "$")


def path_there(config: str) -> str:
    """Where a config is copied to, below one folder: as it is called, if it can be."""
    path = PurePosixPath(config)
    stays = not path.is_absolute() and ".." not in path.parts
    return str(path) if stays else path.name


def source() -> str:
    """What pip makes the package's wheel of: this checkout, or the release."""
    checkout = Path(__file__).resolve().parents[1]
    if (checkout / "pyproject.toml").is_file():
        return str(checkout)
    return f"router-sweeps=={version('router-sweeps')}"


def python_version() -> str:
    """Of this process, as 3.12."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"
