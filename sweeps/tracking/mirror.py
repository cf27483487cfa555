"""The tracker that mirrors a sweep to W&B, and never lets the sweep wait for it.

What W&B refuses or does not answer costs one line, after which the sweep goes on: with
runs on disk where the server was the trouble, and without any otherwise.
"""

import dataclasses
import functools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np

from sweeps.design.grid import Grid
from sweeps.errors import BadInput
from sweeps.findings.results import Results
from sweeps.inference.snapshot import Snapshot
from sweeps.storage import files
from sweeps.storage.manifest import amend_manifest
from sweeps.tracking.process import Failed, Future, WriterProcess
from sweeps.tracking.protocol import NoTracker, Plan, Tracked
from sweeps.tracking.rows import (
    closing_content,
    member_configs,
    member_rows,
    members_table,
)

OPENING_SECONDS, OFFLINE_SECONDS = 11.0, 60.0
"""How long W&B, once imported, may take to open its first run: where it asks a server,
before the sweep goes on offline, and where only a busy machine could keep it."""
PATIENCE = 8.0
"""How long a finished sweep waits for a sign that W&B still takes what is sent."""

Method = TypeVar("Method", bound=Callable[..., Any])


def reason(error: Exception) -> str:
    """The first line of an error, with its name unless it speaks for itself."""
    said = (str(error).strip().splitlines() or [""])[0][:200]
    plain = isinstance(error, Failed | OSError | BadInput) and said
    return said if plain else f"{type(error).__name__}: {said}"


def steady(method: Method) -> Method:
    """A method of `Mirror` whose error ends the tracking, and never the sweep."""

    @functools.wraps(method)
    def safe(self: "Mirror", *arguments: Any) -> Any:
        try:
            return method(self, *arguments)
        except Exception as error:  # of any kind; this is only a mirror
            self._give_up(reason(error))
        return None

    return cast(Method, safe)


class Mirror:
    """Mirrors a sweep to W&B, online or into a folder."""

    def __init__(
        self,
        plan: Plan,
        experiment: Tracked,
        workdir: Path,
        warn: Callable[[str], None],
    ) -> None:
        """Starts the process of W&B; returns before it has opened anything.

        Args:
          plan: How the sweep is tracked.
          experiment: The sweep.
          workdir: Its work directory, whose files are uploaded.
          warn: Called with one line, from any thread, about what fails.
        """
        self._plan, self._experiment = plan, experiment
        self._workdir, self._warn = workdir, warn
        self._opened: dict[str, Any] = {}
        self._process: WriterProcess | None = WriterProcess()
        self._said: list[tuple[str, Any]] = []  # all that a new process must hear
        self._changing = threading.Lock()  # what this tracker sends to, and whether
        self._ready = False
        self._opening = threading.Thread(target=self._open, daemon=True)
        self._opening.start()

    def _open(self) -> None:
        """Opens the curve run, offline if it cannot be opened as it is asked for."""
        try:
            online = self._plan.mode != "offline"
            limit = OPENING_SECONDS if online else OFFLINE_SECONDS
            self._opened = self._ask_to_open(limit)
            self._catch_up()
        except Failed as error:
            if self._plan.mode == "offline":
                self._give_up(str(error))
            else:
                self._continue_offline(str(error))

    def _continue_offline(self, why: str) -> None:
        """Starts again in a new process that asks no server, and says so."""
        self._warn(
            f"Weights & Biases cannot be used online ({why}); the sweep goes on "
            f"offline. Upload it later: onset sync {self._workdir}"
        )
        try:
            self._go_offline()
            self._catch_up()
        except (Failed, OSError) as error:
            self._give_up(reason(error))

    def _ask_to_open(self, seconds: float) -> dict[str, Any]:
        assert self._process is not None
        opening = self._process.ask("open", self._plan)
        answer: dict[str, Any] = self._process.wait(opening, seconds)
        return answer

    def _go_offline(self, keep: bool = False) -> None:
        """Opens the curve run anew, in a new process.

        Args:
          keep: Whether what the old process has written of members is kept.
        """
        ending, self._process = self._process, WriterProcess()  # it starts meanwhile
        if ending is not None:
            ending.end(flush=keep)
        self._plan = dataclasses.replace(self._plan, mode="offline", keep=keep)
        self._opened = self._ask_to_open(OFFLINE_SECONDS)

    def _catch_up(self) -> None:
        """Sends everything that was said before the process was ready."""
        with self._changing:
            for request, content in self._said:
                self._ask(request, content)
            self._ready = True

    @steady
    def begin(self, grid: Grid) -> None:
        """Opens one run per member, unless the members are one table."""
        if not self._said:
            self._opening.join()  # W&B's server is asked before anything is trained
        if self._plan.members:
            self._say("begin", member_configs(grid, self._experiment.fixed))

    @steady
    def log(self, snapshot: Snapshot, collapsed: np.ndarray) -> None:
        """Logs the numbers of every member against its optimiser steps."""
        if self._plan.members:
            self._say("log", member_rows(snapshot, collapsed))

    def ids(self) -> dict[str, Any]:
        """Mode, project, group and ids of the runs that exist by now."""
        found = self._existing()
        if found is None:
            return NoTracker().ids()
        directory = str(Path(self._plan.directory).absolute())
        return self._opened | {
            "group": self._plan.group,
            "members": found,
            "directory": directory,
        }

    @steady
    def finish(
        self, results: Results, summary: dict[str, Any], figures: list[Path]
    ) -> None:
        """Logs the onset curve, the tables and the files; closes all runs.

        The manifest is corrected where it names a run that was not written.
        """
        if self._process is None:
            return
        content = closing_content(results, summary, figures, self._workdir)
        if not self._plan.members:
            content["tables"]["members_table"] = members_table(results)
        recorded = self.ids()
        finishing = self._process.ask("finish", content)
        try:
            told = self._process.wait(finishing, PATIENCE)
        except Failed as error:
            if self._opened["mode"] != "online":
                raise
            told = self._finish_offline(content, recorded, str(error))
        self._record(recorded, told)
        self.end()

    def _finish_offline(
        self, content: dict[str, Any], recorded: dict[str, Any], why: str
    ) -> dict[str, Any]:
        """Writes the curve run to disk; those of the members are there already.

        Raises:
          Failed: this was not possible either.
          OSError: no process could be started.
        """
        self._warn(
            "Weights & Biases has not taken the whole sweep before its end "
            f"({why}). Upload what is missing: onset sync {self._workdir}"
        )
        self._go_offline(keep=True)
        assert self._process is not None
        finishing = self._process.ask("finish", content | {"closing": []})
        told = self._process.wait(finishing, PATIENCE)
        return {"written": [*recorded["members"], *told["written"]]}

    def _record(self, recorded: dict[str, Any], told: dict[str, Any]) -> None:
        """Makes the manifest name the runs that were really written."""
        kept = [one for one in recorded["members"] if one in told["written"]]
        lost = len(recorded["members"]) - len(kept)
        lost += recorded["curve"] not in told["written"]
        if lost:
            runs = len(recorded["members"]) + 1
            self._warn(
                f"Weights & Biases has not written {lost} of {runs} runs to "
                f"{self._plan.directory}/wandb; {files.METRICS} has everything"
            )
            amend_manifest(self._workdir, wandb=recorded | {"members": kept})

    def end(self) -> None:
        """Ends the process of W&B."""
        process, self._process = self._process, None
        if process is not None:
            process.end()

    def _say(self, request: str, content: Any) -> None:
        """Sends what nobody waits for, now or once there is a process that is ready."""
        with self._changing:
            self._said.append((request, content))
            if self._ready:
                self._ask(request, content)

    def _ask(self, request: str, content: Any) -> None:
        if self._process is not None:
            self._process.ask(request, content).add_done_callback(self._check)

    def _check(self, future: Future) -> None:
        """Goes on offline where W&B, online, has failed; else this was all."""
        error = future.exception()
        with self._changing:
            if error is None or not self._ready:
                return
            self._ready = False
            online = self._opened["mode"] == "online"
            follow = self._continue_offline if online else self._give_up
            # Not in this thread, which is the one that reads the answers.
            arguments = (str(error),)
            self._opening = threading.Thread(target=follow, args=arguments, daemon=True)
            self._opening.start()

    def _existing(self) -> list[str] | None:
        """Ids of the members' runs that exist, as soon as all was said; or None."""
        while True:
            self._opening.join()
            process = self._process
            if process is None:
                return None
            try:
                found: list[str] = process.wait(process.ask("ids"), PATIENCE)
            except Failed as error:
                with self._changing:
                    follows = process is not self._process or not self._ready
                if not follows:
                    self._give_up(str(error))
                continue
            with self._changing:
                if self._ready:
                    return found

    def _give_up(self, why: str) -> None:
        """Says once that W&B is not used any more."""
        with self._changing:
            process, self._process, self._ready = self._process, None, False
        if process is not None:
            self._warn(f"Weights & Biases is not used any more ({why})")
            threading.Thread(target=process.end, daemon=True).start()
