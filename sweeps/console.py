"""The console script: answers signals first, then imports the rest.

It is apart from `sweeps.main`, whose imports alone take long enough for a Ctrl-C.
"""

import sys

from sweeps.runtime.interrupts import watch_command


def entry() -> None:
    """Runs the command line of this process, and ends it with the exit code."""
    watch_command(sys.argv[1:])
    from sweeps.main import entry as run

    run()
