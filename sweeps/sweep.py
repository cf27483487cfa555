"""onset sweep: trains one router at many knob values and seeds, and maps the onset.

    onset sweep --config=configs/attention.py --workdir=DIR [--config.KEY=VALUE ...]

Every key is listed, with its meaning, in configs/default.py.
"""

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from absl import flags
from ml_collections import ConfigDict
from rich.console import Console

from sweeps.criterion import Snapshot
from sweeps.examples import examples
from sweeps.experiment import Experiment, build_experiment, router_name
from sweeps.grid import Grid
from sweeps.placement import Placement, choose_placement, claim_cores
from sweeps.report.terminal import make_progress, print_findings
from sweeps.results import Results, write_json, write_parquet
from sweeps.rounds import prepare_turns, train
from sweeps.run import Cost, Sweep, estimate_cost, shape_of_states
from sweeps.run_diagnosis import diagnose
from sweeps.summary import summarize_sweep
from sweeps.workdir import (
    CHECKPOINT,
    FIGURES,
    METRICS,
    SUMMARY,
    claim,
    fingerprint,
    read_summary,
    write_manifest,
)

if TYPE_CHECKING:
    from sweeps.tracking import Tracker


class BadInput(ValueError):
    """A setting that cannot run; the message is one line for the user."""


def define_flags(values: flags.FlagValues) -> None:
    """Flags of this command beside ``--config``."""
    flags.DEFINE_string(
        "workdir", None, "Directory for the results.", flag_values=values
    )


def command(values: flags.FlagValues) -> int:
    """Runs the command; returns its exit code."""
    for name in ("config", "workdir"):
        if not values[name].value:
            raise BadInput(f"--{name} is required")
    sweep(values.config, Path(values.workdir))
    return 0


def sweep(
    config: ConfigDict, workdir: Path, console: Console | None = None
) -> dict[str, Any]:
    """Runs a sweep from config to figures.

    Args:
      config: every key of ``configs/default.py``.
      workdir: claimed for this sweep; a complete one is only shown again.
      console: where progress and findings are printed; standard output by default.

    Returns:
      The content of ``onset.json``.

    Raises:
      BadInput: a setting cannot run; nothing was overwritten.
    """
    started = time.time()
    console = console or Console()
    try:
        claim_cores()
        experiment = build_experiment(config)
        placement = choose_placement(
            config.sweep.devices,
            config.sweep.width,
            experiment.turn * experiment.units,
        )
        state_bytes = shape_of_states(experiment)
        mark = fingerprint(config, experiment.task)
        complete = claim(workdir, config, mark, state_bytes)
        if complete:
            summary = read_summary(workdir)
    except ValueError as error:
        raise BadInput(str(error)) from None
    if complete:
        console.print(f"{workdir} already holds this sweep, complete:")
        print_findings(console, summary)
        return summary
    return _run(config, workdir, console, experiment, placement, mark, started)


def _run(
    config: ConfigDict,
    workdir: Path,
    console: Console,
    experiment: Experiment,
    placement: Placement,
    mark: str,
    started: float,
) -> dict[str, Any]:
    # Weights & Biases and Matplotlib are slow to import and not needed to refuse.
    from sweeps.report.figures import draw_figures
    from sweeps.tracking import open_tracker

    write_manifest(workdir, config, mark, complete=False)
    with console.status("compiling"):
        prepared = prepare_turns(experiment, placement)
        cost = estimate_cost(prepared, experiment.turns)
    console.print(_announce(experiment, prepared, cost, workdir), highlight=False)
    tracker = open_tracker(config, experiment, workdir, mark)
    training = time.time()
    trained, results = _train(experiment, prepared, console, tracker)
    training = time.time() - training
    if experiment.diagnosed:
        with console.status("diagnosing"):
            results.diagnosis = diagnose(trained)
    summary = summarize_sweep(results, router_name(config))
    folder = workdir / FIGURES
    folder.mkdir(exist_ok=True)
    figures = draw_figures(
        folder, summary, _per_member(results), examples(trained, results, summary)
    )
    write_parquet(workdir / METRICS, results.table())
    write_json(workdir / SUMMARY, summary)
    _save(trained, workdir)
    tracker.finish(summary, figures)
    member_steps = results.experiment.grid.members * experiment.steps
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
            "all": time.time() - started,
        },
        member_steps_per_second=member_steps / training,
        estimated=dataclasses.asdict(cost),
        wandb=tracker.ids(),
    )
    print_findings(console, summary)
    console.print(
        f"{time.time() - started:.0f} s in all, {member_steps / training:,.0f} "
        f"member-steps/s; figures and tables are in {workdir}",
        highlight=False,
    )
    return summary


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
    return (
        f"{grid.members} members ({len(grid.axis.values)} values of "
        f"{grid.axis.knob} × {experiment.units} seeds) × {experiment.steps} steps"
        f"{more} on {placement.devices} {jax.default_backend()} device(s), "
        f"{placement.width} at once on each: about {cost.seconds / 60:.1f} min and "
        f"{cost.memory_bytes / 1e6:.0f} MB of arrays; compiled in "
        f"{prepared.compile_seconds:.1f} s; results go to {workdir}"
    )


def _train(
    experiment: Experiment, prepared: Sweep, console: Console, tracker: "Tracker"
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

        return train(experiment, prepared, observe)


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
        "knobs": trained.members.knobs,
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
