"""onset sweep: trains one router at many knob values and seeds, and maps the onset.

    onset sweep --config=configs/attention.py --workdir=DIR [--config.KEY=VALUE ...]

Every key is listed, with its meaning, in configs/default.py. Launched again into a
directory whose sweep was stopped or killed, it goes on from the last chunk. Several
processes run one sweep with ``--distributed``, in one directory that all of them see.
"""

import contextlib
import io
import os
import sys
from pathlib import Path
from typing import Any

import jax
from absl import flags
from ml_collections import ConfigDict
from rich.console import Console

from sweeps.design.experiment import Experiment, build_experiment
from sweeps.engine.train import shape_of_states
from sweeps.pipeline import run_session
from sweeps.report.terminal import print_findings
from sweeps.runtime.compile_cache import keep_compiled
from sweeps.runtime.placement import Placement, choose_placement, claim_cores
from sweeps.runtime.processes import any_process, is_first, join, leave
from sweeps.runtime.stop_signal import STOPPED, Stopped
from sweeps.storage.journal import Journal
from sweeps.storage.workdir import JOURNAL, claim, fingerprint, hold, read_summary

LOST = 1
"""Exit code where another process is gone."""


class BadInput(ValueError):
    """A setting that cannot run; the message is one line for the user."""


def define_flags(values: flags.FlagValues) -> None:
    """Flags of this command beside ``--config``."""
    flags.DEFINE_string(
        "workdir", None, "Directory for the results.", flag_values=values
    )
    flags.DEFINE_boolean(
        "distributed", False, "One of several processes.", flag_values=values
    )
    flags.DEFINE_string(
        "coordinator", None, "HOST:PORT of process 0, if not found.", flag_values=values
    )
    flags.DEFINE_integer(
        "processes", None, "How many, if not found.", flag_values=values
    )
    flags.DEFINE_integer(
        "process", None, "Number of this one, if not found.", flag_values=values
    )


def command(values: flags.FlagValues) -> int:
    """Runs the command; returns its exit code."""
    for name in ("config", "workdir"):
        if not values[name].value:
            raise BadInput(f"--{name} is required")
    explicit = values.coordinator, values.processes, values.process
    if explicit != (None, None, None) and not values.distributed:
        raise BadInput("--coordinator, --processes, --process: only with --distributed")
    try:
        keep_compiled()
        if values.distributed:
            join(*explicit)
        sweep(values.config, Path(values.workdir))
    except Stopped:
        print(f"onset sweep: stopped; {_goes_on(values.workdir)}", file=sys.stderr)
        leave()
        return STOPPED
    except ValueError as error:
        leave()
        raise BadInput(str(error)) from None
    except Exception as error:
        if jax.process_count() == 1:
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        print(
            f"onset sweep: this process failed, or another died ({reason}); "
            f"{_goes_on(values.workdir)}",
            file=sys.stderr,
            flush=True,
        )
        # Leaving in order waits for the others, and aborts where they are gone.
        os._exit(LOST)
    leave()
    return 0


def _goes_on(workdir: str) -> str:
    return (
        f"{workdir} holds everything up to the last chunk, and the same command goes "
        "on from there"
    )


def sweep(
    config: ConfigDict, workdir: Path, console: Console | None = None
) -> dict[str, Any]:
    """Runs a sweep from config to figures, or the rest of it.

    Args:
      config: every key of ``configs/default.py``.
      workdir: claimed for this sweep; a complete one is only shown again.
      console: where progress and findings are printed; standard output by default,
        and nowhere in processes other than the first.

    Returns:
      The content of ``onset.json``.

    Raises:
      BadInput: a setting cannot run; nothing was overwritten.
      Stopped: on Ctrl-C or SIGTERM, with everything up to the last chunk on disk.
      OSError: something could not be written; what was before is whole.
    """
    claim_cores()
    if not is_first():
        console = Console(file=io.StringIO())
    console = console or Console()
    with contextlib.ExitStack() as held:
        refused, complete = None, False
        try:
            experiment, placement = _check(config)
            mark = fingerprint(config, experiment.task)
            need_bytes = shape_of_states(experiment)
            if is_first():
                held.enter_context(hold(workdir))
                complete = claim(workdir, config, mark, need_bytes)
        except ValueError as error:
            refused = str(error)
        if any_process(refused is not None):
            raise BadInput(refused or "another process cannot run; see its message")
        if any_process(complete):
            return _show(workdir, console)
        summary = run_session(config, workdir, console, experiment, placement, mark)
    print_findings(console, summary)
    return summary


def _check(config: ConfigDict) -> tuple[Experiment, Placement]:
    experiment = build_experiment(config)
    placement = choose_placement(
        config.sweep.devices,
        config.sweep.width,
        experiment.turn * experiment.units,
        config.sweep.data,
    )
    return experiment, placement


def _show(workdir: Path, console: Console) -> dict[str, Any]:
    """What a complete directory holds."""
    summary = read_summary(workdir)
    if is_first():
        # A sweep that died between its last two writes left it.
        Journal(workdir / JOURNAL, print).clear()
    console.print(f"{workdir} already holds this sweep, complete:")
    print_findings(console, summary)
    return summary
