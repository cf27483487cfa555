"""A sweep from config to findings: admit, prepare, train, diagnose, write.

`sweep` tells the story from top to bottom. Each stage takes what earlier stages
returned and returns a value of its own; only the record (work directory, journal,
tracker) changes on the way. Where several processes run one sweep, all of them pass
through every stage, and the first one alone writes files.
"""

import contextlib
import dataclasses
import functools
import io
import time
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from rich.console import Console

from sweeps.design.experiment import Experiment, build_experiment, router_name
from sweeps.design.grid import Wave
from sweeps.design.in_effect import code_in_effect, settings_in_effect
from sweeps.design.memory import require_disk, require_room
from sweeps.engine.contract import require_contract
from sweeps.engine.cost import Cost, announce, disk_bytes, estimate_cost, state_bytes
from sweeps.engine.diagnose import diagnose
from sweeps.engine.programs import CompiledSweep, compile_sweep
from sweeps.engine.train import Trained
from sweeps.engine.vmap_width import with_width
from sweeps.engine.waves import train_sweep
from sweeps.findings.results import Results
from sweeps.findings.summary import summarize_sweep
from sweeps.findings.table import make_table
from sweeps.inference.snapshot import Snapshot
from sweeps.pictures import make_pictures
from sweeps.report.terminal import attempt, make_progress, print_findings, say, warn
from sweeps.runtime.interrupts import INTERRUPTS
from sweeps.runtime.numerics import fixed_numerics
from sweeps.runtime.placement import (
    Placement,
    choose_placement,
    claim_cores,
    find_devices,
)
from sweeps.runtime.processes import any_process, barrier, is_first, refused_together
from sweeps.runtime.stop_signal import StopSignal
from sweeps.storage import files
from sweeps.storage.journal import Journal
from sweeps.storage.manifest import fingerprint, read_placement, write_manifest
from sweeps.storage.shape import showing
from sweeps.storage.workdir import claim, continues, hold, missing, read_summary
from sweeps.tracking.opening import open_tracker
from sweeps.tracking.protocol import Tracker
from train.checkpoint import save


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
    tracker: Tracker


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
    find_devices()
    console = (console or Console()) if is_first() else Console(file=io.StringIO())
    numerics = fixed_numerics(functools.partial(warn, console))
    with numerics, contextlib.ExitStack() as held:
        request, complete = admit(config, workdir, console, held)
        if complete:
            return show(workdir, console)
        started = time.monotonic()
        prepared = prepare(request)
        trained, training_seconds = train(request, prepared)
        results = with_diagnosis(request, prepared, trained)
        summary = summarize_sweep(results, router_name(config))
        seconds = {"training": training_seconds, "all": time.monotonic() - started}
        write(request, prepared, trained, results, summary, seconds)
        decorate(request, prepared, trained, results, summary)
    print_findings(console, summary)
    return summary


def admit(
    config: ConfigDict, workdir: Path, console: Console, held: contextlib.ExitStack
) -> tuple[Request, bool]:
    """Checks every setting and claims the work directory, before anything is computed.

    Returns the request, and whether the directory, claimed until ``held`` is closed,
    already holds the complete sweep.
    """
    complete = False
    with refused_together():  # a ValueError, too: tracing may refuse sizes
        experiment = build_experiment(config)
        require_contract(experiment, functools.partial(say, console))
        sizes, members = config.sweep, experiment.wave_members
        placement = choose_placement(sizes.devices, sizes.width, members, sizes.data)
        mark = fingerprint(config, experiment.task, code_in_effect(experiment.routers))
        require_room(config, experiment, state_bytes(experiment))
        if is_first():
            held.enter_context(hold(workdir))
            if not (complete := claim(workdir, config, mark)):
                require_disk(config, workdir, disk_bytes(experiment))
    request = Request(config, experiment, placement, mark, workdir, console)
    return request, any_process(complete)


def show(workdir: Path, console: Console) -> dict[str, Any]:
    """Prints what a complete work directory holds; returns its ``onset.json``."""
    summary = read_summary(workdir)
    left = workdir / files.JOURNAL  # by a sweep that died between its last two writes
    if is_first() and left.is_dir():
        attempt(console, "removing the journal", Journal(left, print).clear)
    say(console, f"{workdir} already holds this sweep, complete:")
    if lacking := missing(workdir):
        warn(console, f"{workdir} lacks {', '.join(lacking)}")
    with showing(f"workdir={workdir}"):
        print_findings(console, summary)
    return summary


def prepare(request: Request) -> Prepared:
    """Chooses the width, compiles, says what the sweep will cost, opens the record."""
    config, console, workdir = request.config, request.console, request.workdir
    placement = request.placement
    mark, tell = request.fingerprint, functools.partial(warn, console)
    journal = Journal(workdir / files.JOURNAL, tell, mark)
    if journal.holds_points():
        INTERRUPTS.saved = continues(workdir)
    if not config.sweep.width:
        with console.status("timing placements"):
            known = read_placement(workdir)
            placement, why = with_width(request.experiment, placement, known)
        say(console, f"placement: {why}")
    barrier("placed")
    if is_first():
        placed = dataclasses.asdict(placement)
        write_manifest(workdir, config, mark, complete=False, placement=placed)
    told = config, router_name(config), request.experiment, workdir, mark
    tracker = open_tracker(*told, is_first(), tell)
    with console.status("compiling"):
        compiled = compile_sweep(request.experiment, placement)
        cost = estimate_cost(compiled)
        if compiled.programs.diagnose:
            compiled.programs.diagnose.start()
    say(console, announce(compiled, cost, workdir))
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
            done = wave.earlier * experiment.steps + len(collapsed) * snapshot.step
            told = f"{collapsed.sum()}/{len(collapsed)} collapsed; member-steps"
            progress.update(bar, completed=done, description=told)
            if snapshot.step:  # the point before this one is on disk
                INTERRUPTS.saved = continues(request.workdir)
            stop.check()

        try:
            trained = train_sweep(prepared.compiled, observe, prepared.journal)
        finally:
            prepared.journal.wait()  # also where training was stopped
        stop.check()
    return trained, time.monotonic() - started


def with_diagnosis(request: Request, prepared: Prepared, trained: Trained) -> Results:
    """The results of trained members, with the full signature where it is asked for."""
    if not request.experiment.diagnosed:
        return trained.results
    with request.console.status("diagnosing"):
        run = functools.partial(diagnose, prepared.compiled, trained)
        found = attempt(request.console, "the diagnosis", run)
    return dataclasses.replace(trained.results, diagnosis=found)


def write(
    request: Request,
    prepared: Prepared,
    trained: Trained,
    results: Results,
    summary: dict[str, Any],
    seconds: dict[str, float],
) -> None:
    """Writes the record: final states, tables, and the manifest that it is complete."""
    workdir, grid = request.workdir, results.experiment.grid
    journal, compiled = prepared.journal, prepared.compiled
    journal.check()
    save(workdir / files.CHECKPOINT, trained.checkpoint())
    member_steps = grid.members * results.experiment.steps - journal.restored
    rate = member_steps / seconds["training"]
    if is_first():
        files.write_parquet(workdir / files.METRICS, make_table(results))
        files.write_json(workdir / files.SUMMARY, summary)
        write_manifest(
            workdir,
            request.config,
            request.fingerprint,
            complete=True,
            members=grid.plain(),
            routers=settings_in_effect(request.experiment),
            placement=dataclasses.asdict(compiled.placement),
            seconds={"compile": compiled.seconds, **seconds},
            member_steps_per_second=rate,
            estimated=dataclasses.asdict(prepared.cost),
            wandb=prepared.tracker.ids(),
        )
    barrier("written")
    told = f"{seconds['all']:.0f} s in all, {rate:,.0f} member-steps/s"
    say(request.console, f"{told}; figures and tables are in {workdir}")


def decorate(
    request: Request,
    prepared: Prepared,
    trained: Trained,
    results: Results,
    summary: dict[str, Any],
) -> None:
    """Draws and reports the record, which is complete: what fails is one warning."""
    console, workdir = request.console, request.workdir
    if is_first():
        pictured = workdir, prepared.compiled, trained, results, summary
        figures = make_pictures(*pictured, console)
        prepared.tracker.finish(results, summary, figures)
    attempt(console, "removing the journal", prepared.journal.clear)
