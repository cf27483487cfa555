"""One sweep from compiled programs to figures, in a directory that is held."""

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from ml_collections import ConfigDict
from rich.console import Console

from sweeps.design.experiment import Experiment, router_name
from sweeps.design.grid import Grid
from sweeps.engine.diagnose import diagnose
from sweeps.engine.routing_examples import examples
from sweeps.engine.train import Cost, Sweep, estimate_cost
from sweeps.engine.vmap_width import plan_width
from sweeps.engine.waves import prepare_turns, train
from sweeps.findings.results import Results, write_json, write_parquet
from sweeps.findings.summary import summarize_sweep
from sweeps.inference.criterion import Snapshot
from sweeps.report.terminal import make_progress
from sweeps.runtime.placement import Placement
from sweeps.runtime.processes import barrier, is_first
from sweeps.runtime.stop_signal import Stopping
from sweeps.storage.journal import Journal
from sweeps.storage.workdir import (
    CHECKPOINT,
    FIGURES,
    JOURNAL,
    MANIFEST,
    METRICS,
    SUMMARY,
    read_manifest,
    write_manifest,
)

if TYPE_CHECKING:
    from sweeps.report.wandb_runs import Tracker


def run_session(
    config: ConfigDict,
    workdir: Path,
    console: Console,
    experiment: Experiment,
    placement: Placement,
    mark: str,
) -> dict[str, Any]:
    """Trains what is not yet on disk, and writes what was found.

    Args:
      config: of the experiment.
      workdir: claimed and held.
      console: for progress.
      experiment: checked.
      placement: of its members.
      mark: its fingerprint.

    Returns:
      The content of ``onset.json``.

    Raises:
      Stopped: on request, with everything up to the last chunk on disk.
      OSError: something could not be written; what was before is whole.
    """
    # Weights & Biases is slow to import and not needed to refuse.
    from sweeps.report.wandb_runs import NoTracker, open_tracker

    started = time.monotonic()
    if not config.sweep.width:
        placement, why = _planned(experiment, placement, workdir, console)
        console.print(f"placement: {why}", highlight=False)
    barrier("placed")
    if is_first():
        layout = dataclasses.asdict(placement)
        write_manifest(workdir, config, mark, complete=False, placement=layout)
    with console.status("compiling"):
        prepared = prepare_turns(experiment, placement)
        cost = estimate_cost(prepared, experiment.turns)
        if prepared.programs.diagnose:
            prepared.programs.diagnose.start()
    console.print(_announce(experiment, prepared, cost, workdir), highlight=False)
    journal = Journal(workdir / JOURNAL, lambda line: console.print(line, style="red"))
    tracker: Tracker = NoTracker()
    if is_first():
        tracker = open_tracker(config, experiment, workdir, mark)
    barrier("compiled")  # another process may have more to compile
    with Stopping() as stopping:
        training = time.monotonic()
        try:
            trained, results = _train(
                experiment, prepared, console, tracker, journal, stopping
            )
        finally:
            journal.wait()  # also where it was stopped
        training = time.monotonic() - training
    if experiment.diagnosed:
        with console.status("diagnosing"):
            results.diagnosis = diagnose(trained)
    summary = summarize_sweep(results, router_name(config))
    _write(workdir, trained, results, summary, tracker)
    member_steps = results.experiment.grid.members * experiment.steps - journal.restored
    if is_first():
        write_manifest(
            workdir,
            config,
            mark,
            complete=True,
            members=_member_list(results.experiment),
            placement=dataclasses.asdict(placement),
            seconds={
                "compile": prepared.compile_seconds,
                "training": training,
                "all": time.monotonic() - started,
            },
            member_steps_per_second=member_steps / training,
            estimated=dataclasses.asdict(cost),
            wandb=tracker.ids(),
        )
    journal.clear()
    console.print(
        f"{time.monotonic() - started:.0f} s in all, {member_steps / training:,.0f} "
        f"member-steps/s; figures and tables are in {workdir}",
        highlight=False,
    )
    return summary


def _planned(
    experiment: Experiment, placement: Placement, workdir: Path, console: Console
) -> tuple[Placement, str]:
    """The width a stopped sweep had, so that it goes on to the same bits, or a new."""
    if (workdir / MANIFEST).exists():
        known = read_manifest(workdir).get("placement")
        if known and known == dataclasses.asdict(placement) | {"width": known["width"]}:
            return Placement(**known), f"{known['width']} at once on each, as before"
    with console.status("timing placements"):
        width, why = plan_width(experiment, placement)
    return dataclasses.replace(placement, width=width), why


def _announce(
    experiment: Experiment, prepared: Sweep, cost: Cost, workdir: Path
) -> str:
    """The price of a sweep, said before it starts."""
    grid, placement = experiment.grid, prepared.placement
    rounds, num = experiment.refinement.rounds, experiment.refinement.num
    more = ""
    if rounds:
        most = experiment.most_members - grid.members
        more = (
            f", then up to {most} in {rounds} round{'s' * (rounds > 1)} of {num} "
            f"values inside the interval, all in turns of {prepared.rows}"
        )
    shared = f", {placement.data} to a batch" if placement.data > 1 else ""
    return (
        f"{grid.members} members ({len(grid.axis.values)} values of "
        f"{grid.axis.knob} × {experiment.units} seeds) × {experiment.steps} steps"
        f"{more} on {placement.devices} {jax.default_backend()} device(s){shared}, "
        f"{placement.width} at once on each: about {cost.seconds / 60:.1f} min and "
        f"{cost.memory_bytes / 1e6:.0f} MB of arrays; compiled in "
        f"{prepared.compile_seconds:.1f} s; results go to {workdir}"
    )


def _train(
    experiment: Experiment,
    prepared: Sweep,
    console: Console,
    tracker: "Tracker",
    journal: Journal,
    stopping: Stopping,
) -> tuple[Sweep, Results]:
    """Trains under a progress bar; every snapshot also goes to the tracker."""
    steps = experiment.steps
    with make_progress(console) as progress:
        bar = progress.add_task("member-steps", total=experiment.most_members * steps)
        last = 0

        def observe(grid: Grid, snapshot: Snapshot, collapsed: np.ndarray) -> None:
            nonlocal last
            if snapshot.step == 0:
                tracker.begin(grid)
                last = 0
            tracker.log(snapshot, collapsed)
            progress.update(
                bar,
                advance=grid.members * (snapshot.step - last),
                description=f"{collapsed.sum()}/{grid.members} collapsed; member-steps",
            )
            last = snapshot.step
            stopping.check()

        return train(experiment, prepared, observe, journal)


def _write(
    workdir: Path,
    trained: Sweep,
    results: Results,
    summary: dict[str, Any],
    tracker: "Tracker",
) -> None:
    """Tables, figures and final states; everything but the manifest."""
    from sweeps.report.figures import draw_figures  # Matplotlib is slow to import

    shown = examples(trained, results, summary)
    _save(trained, workdir)
    if is_first():
        folder = workdir / FIGURES
        folder.mkdir(exist_ok=True)
        figures = draw_figures(folder, summary, _per_member(results), shown)
        write_parquet(workdir / METRICS, results.table())
        write_json(workdir / SUMMARY, summary)
        tracker.finish(summary, figures)
    barrier("written")


def _per_member(results: Results) -> dict[str, np.ndarray]:
    final = results.snapshots[-1]
    return {
        "value": results.experiment.grid.swept,
        "concentration": final.model[results.experiment.criterion.metric][:, 0],
        "collapsed": results.outcomes[-1],
        "diverged": final.diverged >= 0,
        "onset_step": results.onset_steps,
    }


def _save(trained: Sweep, workdir: Path) -> None:
    """The final state of every member, with what identifies it."""
    from train.checkpoint import save

    grid = trained.experiment.grid
    tree = {
        "states": trained.states,
        "knobs": jax.tree.map(np.asarray, trained.members.knobs),
        "init_seed": grid.init_seed,
        "data_seed": grid.data_seed,
    }
    save(workdir / CHECKPOINT, tree)


def _member_list(experiment: Experiment) -> list[dict[str, Any]]:
    grid = experiment.grid
    return [
        {
            grid.axis.knob: grid.axis.values[grid.value[m]],
            "init_seed": int(grid.init_seed[m]),
            "data_seed": int(grid.data_seed[m]),
            "round": int(grid.round[m]),
        }
        for m in range(grid.members)
    ]
