r"""onset launch: prints the recipe that runs a sweep elsewhere, without running it.

    onset launch --target=slurm --config=configs/attention.py --workdir=/shared/DIR \
        [--nodes=4] [--config.KEY=VALUE ...] > sweep.sh
    onset launch --target=tpu-vm --accelerator=v5litepod-16 --zone=ZONE ...
    onset launch --target=gke --accelerator=v5litepod-16 --image=IMAGE ...

The recipe is a Slurm batch script, a gcloud script for a Cloud TPU slice, or a JobSet
manifest for GKE. It contains the settings of the sweep as given. Its first lines say
what it requires of the cluster beyond the flags.
"""

import re
from pathlib import PurePosixPath
from typing import Any

from absl import flags

from sweeps.clusters.launch import TARGETS, Launch, launch
from sweeps.clusters.slices import parse_accelerator
from sweeps.errors import BadInput
from sweeps.storage.paths import check_name

NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?", flags=re.ASCII)
MOST_NODES = 100_000
IMAGE = re.compile(r"[a-z0-9][\w.\-/:@]*", flags=re.ASCII)


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this command besides ``--config``."""
    flags.DEFINE_string(
        "target", None, "Where to run: slurm, tpu-vm or gke.", flag_values=values
    )
    flags.DEFINE_string(
        "workdir", None, "Directory for the results, on the target.", flag_values=values
    )
    flags.DEFINE_integer(
        "nodes",
        None,
        "Number of nodes; on TPUs the hosts of the slice.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "accelerator",
        "v5litepod-16",
        "Accelerator type of the TPU slice.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "zone", "", "Zone; if empty, the default of gcloud.", flag_values=values
    )
    flags.DEFINE_string("image", "", "Container image (gke).", flag_values=values)
    flags.DEFINE_string("cluster", "", "Name of the cluster (gke).", flag_values=values)
    flags.DEFINE_string(
        "claim",
        "onset",
        "PersistentVolumeClaim for the results (gke).",
        flag_values=values,
    )


def command(values: flags.FlagValues) -> int:
    """Runs the command; returns its exit code."""
    print(launch(values.target, read(values)), end="")
    return 0


def read(values: flags.FlagValues) -> Launch:
    """Checks the flags.

    Raises:
      BadInput: A flag is missing or wrong.
    """
    for name in ("target", "config", "workdir"):
        if not values[name].value:
            raise BadInput(f"--{name} is required")
    if values.target not in TARGETS:
        raise BadInput(f"--target={values.target}: must be one of {', '.join(TARGETS)}")
    if values.nodes is not None and not 1 <= values.nodes <= MOST_NODES:
        raise BadInput(
            f"--nodes={values.nodes}: must be at least 1 and at most {MOST_NODES:,}"
        )
    try:
        found = parse_accelerator(values.accelerator)
    except ValueError as error:
        raise BadInput(f"--accelerator={error}") from None
    on_slurm = values.target == "slurm"
    nodes = (values.nodes or 1) if on_slurm else found.hosts
    if values.nodes not in (None, nodes):
        raise BadInput(
            f"--nodes={values.nodes}: must be {nodes}, as {found.accelerator} has "
            f"{nodes} host(s)"
        )
    config: Any = values["config"]
    check_name("workdir", values.workdir)
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
    """Overrides of the config, each as a flag that parses to the same value."""
    flag: Any = values["config"]
    found = flag.override_values
    return tuple(f"--config.{key}={value}" for key, value in found.items())


def _check_names(values: flags.FlagValues) -> None:
    for flag in ("zone", "cluster", "claim"):
        name = values[flag].value
        if name and not NAME.fullmatch(name):
            raise BadInput(
                f"--{flag}={name}: must consist of lower-case letters, digits and -"
            )
    if values.target == "gke" and not IMAGE.fullmatch(values.image):
        raise BadInput(
            f"--image={values.image}: must be a container image with the package, "
            "such as us-docker.pkg.dev/PROJECT/REPOSITORY/onset:TAG"
        )


def _check_workdir(workdir: str, target: str, nodes: int) -> None:
    """Checks that all processes can write one record that outlives a container."""
    absolute = PurePosixPath(workdir).is_absolute()
    nested = len(PurePosixPath(workdir).parts) > 2
    if absolute and (nested or target != "gke"):
        return
    if nodes == 1 and target != "gke" and "://" not in workdir:
        return
    why = "a container's own disk is lost" if nodes == 1 else f"{nodes} hosts share it"
    raise BadInput(
        f"--workdir={workdir}: {why}; must be an absolute path inside a folder that "
        "every host mounts, such as /shared/run (buckets through gcsfuse)"
    )
