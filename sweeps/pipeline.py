"""A sweep from config to findings: admit, prepare, train, diagnose, write.

`sweep` tells the story from top to bottom. Each stage takes what earlier stages
returned and returns a value of its own; only the record (work directory, journal,
tracker) changes on the way. Where several processes run one sweep, all of them pass
through every stage, and the first one alone writes files.
"""

import contextlib
import dataclasses
import io
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ml_collections import ConfigDict
from rich.console import Console

from sweeps.design.experiment import Experiment, build_experiment, router_name
from sweeps.design.grid import Wave
from sweeps.design.memory import require_room
from sweeps.engine.cost import Cost, announce, estimate_cost, state_bytes
from sweeps.engine.diagnose import diagnose
from sweeps.engine.programs import CompiledSweep, compile_sweep
from sweeps.engine.routing_examples import routing_examples
from sweeps.engine.train import Trained
from sweeps.engine.vmap_width import with_width
from sweeps.engine.waves import train_sweep
from sweeps.errors import BadInput
from sweeps.findings.results import Results
from sweeps.findings.summary import summarize_sweep
from sweeps.findings.table import make_table
from sweeps.inference.snapshot import Snapshot
from sweeps.report.terminal import make_progress, print_findings
from sweeps.runtime.placement import Placement, choose_placement, claim_cores
from sweeps.runtime.processes import any_process, barrier, is_first
from sweeps.runtime.stop_signal import StopSignal
from sweeps.storage.files import (
    CHECKPOINT,
    FIGURES,
    JOURNAL,
    METRICS,
    SUMMARY,
    write_json,
    write_parquet,
)
from sweeps.storage.journal import KEPT, Journal
from sweeps.storage.manifest import fingerprint, read_placement, write_manifest
from sweeps.storage.workdir import claim, hold, read_summary
from train.checkpoint import save

if TYPE_CHECKING:
    from sweeps.report.wandb_runs import Tracker


@dataclasses.dataclass(frozen=True)
class Request:
    """A sweep that was checked and admitted to its work directory.

    Attributes:
      config: The config as it was given.
      experiment: The experiment that it describes.
      placement: Layout of members over devices, before its width is chosen.
      fingerprint: What identifies the sweep.
      workdir: Its work directory, held against other launches.
      console: Where progress and findings are printed.
    """

    config: ConfigDict
    experiment: Experiment
    placement: Placement
    fingerprint: str
    workdir: Path
    console: Console


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A sweep that is ready to train.

    Attributes:
      compiled: Its programs and shared inputs.
      cost: What it is estimated to cost.
      journal: Record of the training under way.
      tracker: Mirror of the sweep in Weights & Biases, or one that does nothing.
    """

    compiled: CompiledSweep
    cost: Cost
    journal: Journal
    tracker: "Tracker"


def sweep(
    config: ConfigDict, workdir: Path, console: Console | None = None
) -> dict[str, Any]:
    """Runs a sweep from config to findings, or what is left of it.

    Args:
      config: Every key of ``configs/default.py``.
      workdir: Directory that is claimed for this sweep; a complete sweep is only shown
        again.
      console: Where progress and findings are printed: by default standard output, and
        nowhere in processes other than the first.

    Returns:
      The content of ``onset.json``.

    Raises:
      BadInput: a setting cannot be used; nothing was overwritten.
      Stopped: the sweep was interrupted; everything up to the last chunk is on disk.
      OSError: something could not be written; what was there before is whole.
    """
    claim_cores()
    console = (console or Console()) if is_first() else Console(file=io.StringIO())
    with contextlib.ExitStack() as held:
        request, complete = admit(config, workdir, console, held)
        if complete:
            return show(workdir, console)
        started = time.monotonic()
        prepared = prepare(request)
        trained, training_seconds = train(request, prepared)
        results = with_diagnosis(request, prepared, trained)
        summary = summarize_sweep(results, router_name(config))
        write(request, prepared, trained, results, summary)
        finish(request, prepared, results, training_seconds, started)
    print_findings(console, summary)
    return summary


def admit(
    config: ConfigDict, workdir: Path, console: Console, held: contextlib.ExitStack
) -> tuple[Request, bool]:
    """Checks every setting and claims the work directory, before anything is computed.

    Returns:
      The request, and whether the directory already holds the complete sweep. The
      directory is claimed until ``held`` is closed.
    """
    problem, complete = None, False
    try:
        experiment = build_experiment(config)
        sizes = config.sweep
        placement = choose_placement(
            sizes.devices, sizes.width, experiment.wave_members, sizes.data
        )
        mark = fingerprint(config, experiment.task)
        states = state_bytes(experiment)
        require_room(config, experiment, states)
        if is_first():
            held.enter_context(hold(workdir))
            # Checkpoints of a wave stay until the end, beside the final states.
            complete = claim(workdir, config, mark, (KEPT + 1) * states)
    except (ValueError, OSError) as error:  # tracing may refuse sizes, too
        problem = error
    if any_process(problem is not None):  # the others must not wait for this one
        if isinstance(problem, OSError):
            raise problem
        said = str(problem or "another process cannot run; see its message")
        raise BadInput(said) from problem
    request = Request(config, experiment, placement, mark, workdir, console)
    return request, any_process(complete)


def show(workdir: Path, console: Console) -> dict[str, Any]:
    """Prints what a complete work directory holds; returns its ``onset.json``."""
    summary = read_summary(workdir)
    if is_first():  # a sweep that died between its last two writes left its journal
        Journal(workdir / JOURNAL, print).clear()
    console.print(f"{workdir} already holds this sweep, complete:")
    print_findings(console, summary)
    return summary


def prepare(request: Request) -> Prepared:
    """Chooses the width, compiles, says what the sweep will cost, opens the record."""
    # Weights & Biases is slow to import, and is not needed to refuse a setting.
    from sweeps.report.wandb_runs import NoTracker, open_tracker

    config, console, workdir = request.config, request.console, request.workdir
    placement = request.placement
    if not config.sweep.width:
        with console.status("timing placements"):
            known = read_placement(workdir)
            placement, why = with_width(request.experiment, placement, known)
        console.print(f"placement: {why}", highlight=False)
    barrier("placed")
    if is_first():
        placed, mark = dataclasses.asdict(placement), request.fingerprint
        write_manifest(workdir, config, mark, complete=False, placement=placed)
    with console.status("compiling"):
        compiled = compile_sweep(request.experiment, placement)
        cost = estimate_cost(compiled)
        if compiled.programs.diagnose:
            compiled.programs.diagnose.start()
    console.print(announce(compiled, cost, workdir), highlight=False)
    journal = Journal(workdir / JOURNAL, lambda line: console.print(line, style="red"))
    tracker: Tracker = NoTracker()
    if is_first():
        tracker = open_tracker(config, request.experiment, workdir, request.fingerprint)
    barrier("compiled")  # another process may have more to compile
    return Prepared(compiled, cost, journal, tracker)


def train(request: Request, prepared: Prepared) -> tuple[Trained, float]:
    """Trains all members under a progress bar; returns them and the seconds it took."""
    experiment, tracker = request.experiment, prepared.tracker
    started = time.monotonic()
    with StopSignal() as stop, make_progress(request.console) as progress:
        total = experiment.most_members * experiment.steps
        bar = progress.add_task("member-steps", total=total)

        def observe(wave: Wave, snapshot: Snapshot, collapsed: np.ndarray) -> None:
            if snapshot.step == 0:
                tracker.begin(wave.grid)
            tracker.log(snapshot, collapsed)
            members = wave.grid.members
            progress.update(
                bar,
                completed=wave.earlier * experiment.steps + members * snapshot.step,
                description=f"{collapsed.sum()}/{members} collapsed; member-steps",
            )
            stop.check()

        try:
            trained = train_sweep(prepared.compiled, observe, prepared.journal)
        finally:
            prepared.journal.wait()  # also where training was stopped
    return trained, time.monotonic() - started


def with_diagnosis(request: Request, prepared: Prepared, trained: Trained) -> Results:
    """The results of trained members, with the full signature where it is asked for."""
    if not request.experiment.diagnosed:
        return trained.results
    with request.console.status("diagnosing"):
        found = diagnose(prepared.compiled, trained)
    return dataclasses.replace(trained.results, diagnosis=found)


def write(
    request: Request,
    prepared: Prepared,
    trained: Trained,
    results: Results,
    summary: dict[str, Any],
) -> None:
    """Writes tables, figures and final states: everything but the manifest."""
    from sweeps.report.figures import draw_figures  # Matplotlib is slow to import

    workdir = request.workdir
    held_out = np.asarray(prepared.compiled.shared.batch[0])
    shown = routing_examples(trained, results, summary, held_out[0])
    save(workdir / CHECKPOINT, trained.checkpoint())
    if is_first():
        folder = workdir / FIGURES
        folder.mkdir(exist_ok=True)
        figures = draw_figures(folder, summary, results.per_member(), shown)
        write_parquet(workdir / METRICS, make_table(results))
        write_json(workdir / SUMMARY, summary)
        prepared.tracker.finish(summary, figures)
    barrier("written")


def finish(
    request: Request,
    prepared: Prepared,
    results: Results,
    training_seconds: float,
    started: float,
) -> None:
    """Marks the work directory complete, and removes what only a resume would need."""
    workdir, grid = request.workdir, results.experiment.grid
    journal, compiled = prepared.journal, prepared.compiled
    trained_here = grid.members * results.experiment.steps - journal.restored
    rate = trained_here / training_seconds
    if is_first():
        write_manifest(
            workdir,
            request.config,
            request.fingerprint,
            complete=True,
            members=grid.plain(),
            placement=dataclasses.asdict(compiled.placement),
            seconds={
                "compile": compiled.seconds,
                "training": training_seconds,
                "all": time.monotonic() - started,
            },
            member_steps_per_second=rate,
            estimated=dataclasses.asdict(prepared.cost),
            wandb=prepared.tracker.ids(),
        )
    journal.clear()
    request.console.print(
        f"{time.monotonic() - started:.0f} s in all, {rate:,.0f} member-steps/s; "
        f"figures and tables are in {workdir}",
        highlight=False,
    )
