"""onset sweep: trains one router at many knob values and seeds, and maps the onset.

    onset sweep --config=configs/attention.py --workdir=DIR [--config.KEY=VALUE ...]

Every key is listed, with its meaning, in configs/default.py. If the directory holds a
sweep that was stopped or killed, the command continues from the last chunk. With
``--distributed``, several processes run one sweep in one directory that all of them
see.
"""

import os
import sys

import jax
from absl import flags

from sweeps.errors import BadInput
from sweeps.pipeline import sweep
from sweeps.runtime.compile_cache import keep_compiled
from sweeps.runtime.interrupts import INTERRUPTS
from sweeps.runtime.processes import join, leave
from sweeps.runtime.stop_signal import STOPPED, Stopped
from sweeps.storage.paths import user_path
from sweeps.storage.workdir import continues

LOST = 1
"""Exit code where another process is gone."""


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this command beside ``--config``."""
    flags.DEFINE_string(
        "workdir", None, "Directory for the results.", flag_values=values
    )
    flags.DEFINE_boolean(
        "distributed",
        False,
        "Run as one of several processes.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "coordinator",
        None,
        "HOST:PORT of process 0, where it is not found automatically.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "processes",
        None,
        "Number of processes, where it is not found automatically.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "process",
        None,
        "Number of this process, where it is not found automatically.",
        flag_values=values,
    )


def command(values: flags.FlagValues) -> int:
    """Runs the command; returns its exit code."""
    for name in ("config", "workdir"):
        if not values[name].value:
            raise BadInput(f"--{name} is required")
    explicit = values.coordinator, values.processes, values.process
    if explicit != (None, None, None) and not values.distributed:
        raise BadInput(
            "--coordinator, --processes and --process can be given only together "
            "with --distributed"
        )
    try:
        workdir = user_path("workdir", values.workdir)
        keep_compiled()
        if values.distributed:
            join(*explicit)
        sweep(values.config, workdir)
    except Stopped:
        print(f"onset sweep: stopped; {continues(values.workdir)}", file=sys.stderr)
        INTERRUPTS.told = True
        leave()
        return STOPPED
    except BadInput:
        leave()
        raise
    except Exception as error:
        if jax.process_count() == 1:
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        print(
            f"onset sweep: this process failed, or another one died ({reason}); "
            f"{continues(values.workdir)}",
            file=sys.stderr,
            flush=True,
        )
        # An orderly exit waits for the other processes, and aborts if they are gone.
        os._exit(LOST)
    leave()
    return 0
