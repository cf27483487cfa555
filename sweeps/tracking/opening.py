"""How a sweep will be tracked: from its config, the environment and the machine."""

import hashlib
import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

from ml_collections import ConfigDict

from sweeps.tracking.mirror import Mirror, reason
from sweeps.tracking.protocol import (
    MOST_MEMBER_RUNS,
    NoTracker,
    Plan,
    Tracked,
    Tracker,
)
from sweeps.tracking.rows import plain_name

PROJECT = "onset"
"""Project of sweeps where neither config nor environment name one."""
RUN_BYTES, SWEEP_BYTES = 100_000, 20_000_000
"""Room on disk that is asked for: for each run, and for tables, figures and logs."""


def open_tracker(
    config: ConfigDict,
    router: str,
    experiment: Tracked,
    workdir: Path,
    fingerprint: str,
    first: bool,
    warn: Callable[[str], None],
) -> Tracker:
    """Opens the tracker that the config asks for; what fails is one line.

    Args:
      config: The whole config; ``wandb`` is read, and all of it is logged.
      router: Name of the router whose knob is swept.
      experiment: The sweep, or the measurement.
      workdir: Work directory; runs are written to ``workdir/wandb``, or below
        $WANDB_DIR.
      fingerprint: Fingerprint of the sweep; run ids contain it and a hash of the
        path of the work directory.
      first: Whether this is the first process; the others report nowhere.
      warn: Called with one line if opening or using the tracker fails, and where
        members are not logged one by one.
    """
    plan = make_plan(config, router, experiment, workdir, fingerprint)
    if not first or plan.mode == "disabled":
        return NoTracker()
    try:
        folder = _writable(Path(plan.directory))
        needed = SWEEP_BYTES + RUN_BYTES * (plan.members + 1)
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise OSError(
                f"{folder} has {free / 1e6:.0f} MB of room, and {needed / 1e6:.0f} MB "
                "may be needed"
            )
        if why := _why_a_table(experiment.most_members, plan):
            warn(f"Weights & Biases: {why}; members are one table of the curve run")
        return Mirror(plan, experiment, workdir, warn)
    # The mirror of a sweep must not end it, whatever is wrong with it.
    except Exception as error:
        warn(f"Weights & Biases is not used ({reason(error)})")
    return NoTracker()


def make_plan(
    config: ConfigDict,
    router: str,
    experiment: Tracked,
    workdir: Path,
    fingerprint: str,
) -> Plan:
    """How the sweep is tracked; $WANDB_... count where the config is silent."""
    tracking, given = config.wandb, os.environ.get
    place = hashlib.sha256(str(workdir.absolute()).encode()).hexdigest()[:6]
    mode = tracking.mode
    if mode == "auto":
        mode = given("WANDB_MODE") or "auto"
        mode = "offline" if mode == "dryrun" else mode
    plan = Plan(
        mode=mode,
        project=tracking.project or given("WANDB_PROJECT") or PROJECT,
        entity=tracking.entity or given("WANDB_ENTITY") or None,
        directory=str(Path(given("WANDB_DIR") or workdir).expanduser().absolute()),
        group=f"{router}-{fingerprint[:8]}-{place}",
        router=router,
        knob=plain_name(experiment.grid.axis.knob),
        config=config.to_dict(),
        members=experiment.most_members,
        agent=bool(given("WANDB_SWEEP_ID")),
    )
    if _why_a_table(experiment.most_members, plan):
        return Plan(**(vars(plan) | {"members": 0}))
    return plan


def _why_a_table(members: int, plan: Plan) -> str:
    """Why the members have no run each; "" if they have."""
    if members > MOST_MEMBER_RUNS:
        return f"{members} members are more than {MOST_MEMBER_RUNS}"
    needed = Plan(**(vars(plan) | {"members": members})).descriptors
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        return (
            f"runs of {members} members need {needed} open files, and {hard} are "
            "allowed (ulimit -Hn)"
        )
    return ""


def _writable(directory: Path) -> Path:
    """A folder that W&B can write to; it would go to another one without a word."""
    directory.mkdir(parents=True, exist_ok=True)
    if not os.access(directory, os.W_OK | os.X_OK):
        raise OSError(f"{directory} cannot be written")
    return directory
