"""Recipes that run a sweep elsewhere: Slurm, Cloud TPU VMs, GKE.

A recipe is a template in `recipes/` that is filled with the sweep's own command. What
it needs to know of a cluster beyond that is written in its first lines.
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

import yaml

from sweeps.clusters.slices import PER_HOST, Slice

TARGETS = {"slurm": "slurm.sh", "tpu-vm": "tpu_vm.sh", "gke": "gke.yaml"}
PINNED = ("flax", "optax", "orbax-checkpoint", "wandb", "numpy")


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


def launch(target: str, asked: Launch) -> str:
    """The recipe for a target of `TARGETS`."""
    file = importlib.resources.files("sweeps.clusters") / "recipes" / TARGETS[target]
    fill = {"slurm": _slurm, "tpu-vm": _tpu_vm, "gke": _gke}[target]
    return Recipe(file.read_text()).substitute(fill(asked))


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
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").is_file():
        return str(checkout)
    return f"router-sweeps=={version('router-sweeps')}"


def python_version() -> str:
    """Of this process, as 3.12."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"
