"""The runs of one sweep, in the process of W&B (`writer`)."""

import concurrent.futures
import contextlib
import dataclasses
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sweeps.tracking.protocol import CURVE, Plan
from sweeps.tracking.records import is_whole

INIT_SECONDS = 7.0
"""How long W&B's server may take to open the curve run."""
FLUSH_SECONDS, TERM_SECONDS = 2.5, 1.0
"""How long wandb-core may take to write down what it still holds, first when it is
asked to end and then when it is told to."""
AT_ONCE = 64
"""Runs that are finished at the same time, each of which waits for the server."""
CORE: list[subprocess.Popen[bytes]] = []
"""The process of wandb-core, once it has opened a run and until it is ended."""


@dataclasses.dataclass
class Run:
    """A run of W&B, and the number of rows it was given."""

    run: Any
    rows: int = 0

    @property
    def file(self) -> Path:
        """Its transaction log."""
        return Path(self.run.settings.sync_file)

    def log(self, row: dict[str, Any]) -> None:
        """Logs one row."""
        self.run.log(row)
        self.rows += 1


class Runs:
    """The runs of one sweep; each method answers the request of its name."""

    def __init__(self, progress: Callable[[], None]) -> None:
        """No runs yet.

        Args:
          progress: Called whenever W&B has taken something.
        """
        self._progress = progress
        self._members: list[Run] = []
        self._training: list[Run] = []

    def check(self, _: None) -> None:
        """Asks the server whether it takes the API key.

        Raises:
          ValueError: there is none.
        """
        import wandb

        if not wandb.login(prompt=False, verify=True):
            raise ValueError("no API key is configured")

    def save_view(self, scope: Any) -> list[str]:
        """Saves the view and the report of a `workspace.Scope`; their addresses."""
        from sweeps.tracking.workspace import save

        return save(scope)

    def open(self, plan: Plan) -> dict[str, Any]:
        """Opens the curve run; W&B's server is asked here, and nowhere before.

        Returns:
          The mode, and the run's id, project and entity.
        """
        import wandb

        self._plan = plan
        mode = plan.mode
        if mode == "auto":
            known = wandb.login(prompt=False, verify=False)
            mode = "online" if known else "offline"
        self._plan = dataclasses.replace(plan, mode=mode)
        folder = Path(plan.directory) / "wandb"
        _remove_earlier(folder, plan)
        (folder / "data").mkdir(parents=True, exist_ok=True)
        # What artifacts are made of would else lie in the user's home until a sync.
        os.environ.setdefault("WANDB_DATA_DIR", str(folder / "data"))
        _allow_descriptors(plan.descriptors)
        self._curve = self._open(CURVE, CURVE, plan.config)
        with contextlib.suppress(AttributeError):  # W&B keeps its process to itself
            CORE.append(wandb.setup()._connection._proc._process)  # type: ignore[union-attr]
        self._curve.run.define_metric(plan.knob)
        self._curve.run.define_metric("onset/*", step_metric=plan.knob)
        # The agent's trial is the curve run alone; W&B would give its id to all others.
        ours = wandb.setup().settings
        ours.sweep_id = ours.sweep_param_path = ours.run_id = None
        run = self._curve.run
        return {
            "mode": mode,
            "curve": run.id,
            "project": run.settings.project,
            "entity": run.settings.entity,
        }

    def _open(self, name: str, job_type: str, config: dict[str, Any]) -> Run:
        import wandb

        plan, curve = self._plan, job_type == CURVE
        named: dict[str, Any] = {
            "project": plan.project,
            "entity": plan.entity,
            "id": f"{plan.group}-{name}",
        }
        run = wandb.init(
            **({} if plan.agent and curve else named),
            dir=plan.directory,
            name=plan.group if plan.agent and curve else name,
            group=plan.group,
            job_type=job_type,
            mode=plan.mode,  # type: ignore[arg-type]
            config=config,
            reinit="create_new",
            # A new object for each run, because init writes into its argument.
            settings=wandb.Settings(
                silent=True,
                console="off",
                symlink=False,
                save_code=False,
                disable_git=True,
                init_timeout=INIT_SECONDS,
                x_disable_stats=True,
                x_disable_meta=True,
                # For the curve run alone: listing packages takes 80 ms a run.
                x_save_requirements=curve,
            ),
        )
        if not Path(run.settings.sync_file).is_relative_to(plan.directory):
            raise OSError(f"{plan.directory}: cannot be written")  # W&B moved to /tmp
        return Run(run)

    def begin(self, configs: list[dict[str, Any]]) -> None:
        """Opens a run for each member of the wave that is trained next."""
        self._training = []
        for config in configs:
            name = f"member-{len(self._members):04d}"
            member = self._open(name, self._plan.router, self._plan.config | config)
            member.run.define_metric("opt_step")
            member.run.define_metric("*", step_metric="opt_step")
            self._members.append(member)
            self._training.append(member)
            self._progress()

    def log(self, rows: list[dict[str, float]]) -> None:
        """Logs one row of each member in training."""
        for member, row in zip(self._training, rows, strict=True):
            member.log(row)

    def ids(self, _: None) -> list[str]:
        """Ids of the members whose file W&B has made."""
        return [m.run.id for m in self._members if m.file.exists()]

    def finish(self, content: dict[str, Any]) -> dict[str, list[str]]:
        """Logs the result, closes all runs, and reads back what was written.

        Args:
          content: Rows of the ``curve``, its ``summary``, ``closing`` ones of members,
            ``tables`` by name, paths of ``figures`` and ``files``.

        Returns:
          Ids of the runs of members that are ``written``, and of all runs that are
          ``uploaded``.
        """
        import wandb

        for member, row in zip(self._members, content["closing"], strict=False):
            member.run.summary.update(row)
            self._progress()
        curve = self._curve
        for row in content["curve"]:
            curve.log(row)
        curve.run.summary.update(content["summary"])
        if content["figures"]:
            curve.log(
                {f"figures/{p.stem}": wandb.Image(str(p)) for p in content["figures"]}
            )
        self._progress()
        for name, (columns, rows) in content["tables"].items():
            curve.log({name: wandb.Table(columns=columns, data=rows)})
        record = wandb.Artifact(f"{self._plan.group}-record", type="onset-record")
        for path, name in content["files"]:
            # The file is the sweep's own and does not change, so it is not copied.
            record.add_file(str(path), name=name, policy="immutable", skip_cache=True)
        curve.run.log_artifact(record)
        runs = [*self._members, curve]
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            for _ in pool.map(lambda one: one.run.finish(), runs):
                self._progress()
        stop_core()  # until then, it holds the ends of some files back
        whole = [one for one in runs if is_whole(one.file, one.rows)]
        uploaded = whole if self._plan.mode == "online" else []
        for one in uploaded:  # as `wandb sync` marks what it has uploaded
            one.file.with_suffix(".wandb.synced").touch()
        return {
            "written": [one.run.id for one in whole],
            "uploaded": [one.run.id for one in uploaded],
        }


def _remove_earlier(folder: Path, plan: Plan) -> None:
    """Removes what an interrupted launch has logged; all of it is logged again."""
    trial = os.environ.get("WANDB_RUN_ID", "") if plan.agent else ""
    ours = f"{plan.group}-{CURVE if plan.keep else '*'}"
    for ids in (ours, *([trial] if trial else [])):
        for path in folder.glob(f"*run-*-{ids}"):
            shutil.rmtree(path, ignore_errors=True)


def _allow_descriptors(needed: int) -> None:
    """Raises the limit of this process, which wandb-core inherits, where it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))


def stop_core() -> None:
    """Ends wandb-core, which then writes down what it holds.

    Asked to, it first waits for its server; told to by a signal, it does not, but where
    it was busy the signal alone has lost records.
    """
    if not CORE:
        return
    core = CORE.pop()
    asking = threading.Thread(target=sys.modules["wandb"].teardown, daemon=True)
    asking.start()
    asking.join(FLUSH_SECONDS)
    for number in (signal.SIGTERM, signal.SIGKILL):
        if core.poll() is None:
            core.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                core.wait(TERM_SECONDS)
