"""Recipes that run a sweep on other machines: Slurm, Cloud TPU VMs, GKE.

A recipe is a file in `recipes/` with placeholders, which are filled in with the sweep's
own command. The first lines of each recipe say what it requires of the cluster.
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


class RecipeTemplate(string.Template):
    """A recipe with placeholders ``__name``, which are words in the shell and in YAML.

    The files in `recipes/` are therefore valid before they are filled in.
    """

    delimiter = "__"
    idpattern = r"(?a:[a-z]+(?:_[a-z]+)*)"
    flags = re.NOFLAG


@dataclasses.dataclass(frozen=True)
class Launch:
    """The checked request for a recipe.

    Attributes:
      config: Path of the config file with its preset, as given.
      workdir: Work directory, as given.
      overrides: Flags ``--config.KEY=VALUE``, in the order given.
      nodes: Number of nodes of a Slurm job, or of hosts of the TPU slice.
      slice: Slice of a TPU target.
      zone: Zone of a TPU target; "" for the default of gcloud.
      image: Container image on GKE.
      cluster: Name of the GKE cluster; "" if not given.
      claim: Claim of the volume that GKE mounts as the parent of the work directory.
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
        """The sweep's arguments, with another path of the config if it is copied."""
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
        """Path of the config file without its preset."""
        return re.sub(r":[^:/]*$", "", self.config)


def launch(target: str, asked: Launch) -> str:
    """Fills in the recipe for a target of `TARGETS`."""
    file = importlib.resources.files("sweeps.clusters") / "recipes" / TARGETS[target]
    fill = {"slurm": _slurm, "tpu-vm": _tpu_vm, "gke": _gke}[target]
    return RecipeTemplate(file.read_text()).substitute(fill(asked))


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
    """Arguments as one line of YAML, with Kubernetes' ``$(NAME)`` escaped."""
    escaped = [word.replace("$", "$$") for word in words]
    text = yaml.safe_dump(
        escaped, default_style='"', default_flow_style=True, width=2**31
    )
    return str(text).strip()


def yaml_word(word: str) -> str:
    """A string as one line of YAML."""
    return yaml_list([word])[1:-1].replace("$$", "$")


def path_there(config: str) -> str:
    """Path of a copied config inside one folder; the given path, if that is inside."""
    path = PurePosixPath(config)
    stays = not path.is_absolute() and ".." not in path.parts
    return str(path) if stays else path.name


def source() -> str:
    """What pip builds the package's wheel from: this checkout or the release."""
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").is_file():
        return str(checkout)
    return f"router-sweeps=={version('router-sweeps')}"


def python_version() -> str:
    """Python version of this process, such as 3.12."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"
