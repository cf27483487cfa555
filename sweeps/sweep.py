"""onset sweep: trains one router at many knob values and seeds, and maps the onset.

    onset sweep --config=configs/attention.py --workdir=DIR [--config.KEY=VALUE ...]

Every key is listed, with its meaning, in configs/default.py.
"""

import dataclasses
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags
from ml_collections import ConfigDict
from rich.console import Console

from sweeps.criterion import Snapshot
from sweeps.experiment import Experiment, build_experiment, router_name
from sweeps.placement import Placement, choose_placement, claim_cores
from sweeps.report.terminal import make_progress, print_findings
from sweeps.results import Results, write_json, write_parquet
from sweeps.run import Cost, Sweep, estimate_cost, prepare, run, shape_of_states
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
            config.sweep.devices, config.sweep.width, experiment.grid.members
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
        prepared = prepare(experiment, placement)
        cost = estimate_cost(prepared)
    console.print(_announce(prepared, cost, workdir), highlight=False)
    tracker = open_tracker(config, experiment, workdir, mark)
    training = time.time()
    results = _train(prepared, console, tracker.log)
    training = time.time() - training
    if experiment.diagnosed:
        with console.status("diagnosing"):
            results.diagnosis = diagnose(prepared)
    summary = summarize_sweep(results, router_name(config))
    folder = workdir / FIGURES
    folder.mkdir(exist_ok=True)
    figures = draw_figures(
        folder, summary, _per_member(results), _examples(prepared, results, summary)
    )
    write_parquet(workdir / METRICS, results.table())
    write_json(workdir / SUMMARY, summary)
    _save(prepared, workdir)
    tracker.finish(summary, figures)
    member_steps = experiment.grid.members * experiment.steps
    write_manifest(
        workdir,
        config,
        mark,
        complete=True,
        members=_member_list(experiment),
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


def _announce(prepared: Sweep, cost: Cost, workdir: Path) -> str:
    """The price of a sweep, said before it starts."""
    experiment, placement = prepared.experiment, prepared.placement
    grid = experiment.grid
    seeds = grid.members // len(grid.axis.values)
    return (
        f"{grid.members} members ({len(grid.axis.values)} values of "
        f"{grid.axis.knob} × {seeds} seeds) × {experiment.steps} steps on "
        f"{placement.devices} {jax.default_backend()} device(s), {placement.width} "
        f"at once on each: about {cost.seconds / 60:.1f} min and "
        f"{cost.memory_bytes / 1e6:.0f} MB of arrays; compiled in "
        f"{prepared.compile_seconds:.1f} s; results go to {workdir}"
    )


def _train(prepared: Sweep, console: Console, log: Any) -> Results:
    """Trains under a progress bar; every snapshot also goes to the tracker."""
    experiment = prepared.experiment
    members = experiment.grid.members
    with make_progress(console) as progress:
        bar = progress.add_task("member-steps", total=members * experiment.steps)

        def on_snapshot(snapshot: Snapshot, collapsed: np.ndarray) -> None:
            log(snapshot, collapsed)
            progress.update(
                bar,
                completed=members * snapshot.step,
                description=f"{collapsed.sum()}/{members} collapsed; member-steps",
            )

        return run(prepared, on_snapshot)


def _per_member(results: Results) -> dict[str, np.ndarray]:
    final = results.snapshots[-1]
    return {
        "value": results.experiment.grid.swept,
        "concentration": final.model[results.experiment.criterion.metric][:, 0],
        "collapsed": results.outcomes[-1],
        "diverged": final.diverged >= 0,
        "onset_step": results.onset_steps,
    }


def _examples(
    prepared: Sweep, results: Results, summary: dict[str, Any]
) -> list[tuple[str, np.ndarray]]:
    """A routing matrix on each side of the onset, or at both ends without one."""
    values = np.asarray(results.experiment.grid.axis.values)
    estimate = summary["onset"]["estimate"]
    if estimate is None:
        sides = {0, len(values) - 1}
    else:
        # One value away from the gap: the sides themselves, not the transition.
        above = int(np.searchsorted(values, estimate))
        sides = {max(above - 2, 0), min(above + 1, len(values) - 1)}
    return [_example(prepared, results, index) for index in sorted(sides)]


def _example(prepared: Sweep, results: Results, index: int) -> tuple[str, np.ndarray]:
    """The member of median concentration at one value, in its strongest head."""
    from train.measure import routing_example

    final, grid = results.snapshots[-1], results.experiment.grid
    members = np.flatnonzero(grid.value == index)
    metric = results.experiment.criterion.metric
    order = members[np.argsort(final.model[metric][members, 0])]
    member = int(order[len(order) // 2])
    layers = final.layers[metric][member, 0]  # [L, H]
    layer, head = np.unravel_index(np.nanargmax(np.nan_to_num(layers)), layers.shape)
    one = jax.tree.map(
        lambda leaf: np.asarray(leaf[member]),
        (prepared.states.params, prepared.members.knobs),
    )
    matrices = jax.jit(
        lambda params, knobs, inputs: routing_example(
            results.experiment.model,
            results.experiment.slot,
            params,
            knobs,
            results.experiment.task.geometry(),
            inputs,
        )
    )(*one, np.asarray(prepared.batch[0][0]))
    value, seed = grid.axis.values[index], grid.init_seed[member]
    title = f"{grid.axis.knob} = {value:.3g}, seed {seed}"
    if layers.size > 1:
        title += f", layer {layer}, head {head}"
    return title, np.asarray(matrices[layer, head])


def _save(prepared: Sweep, workdir: Path) -> None:
    """The final state of every member, with what identifies it."""
    from train.checkpoint import save

    grid = prepared.experiment.grid
    tree = {
        "states": jax.tree.map(lambda leaf: leaf[: grid.members], prepared.states),
        "knobs": {
            name: value[: grid.members]
            for name, value in prepared.members.knobs.items()
        },
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
        }
        for m in range(grid.members)
    ]
