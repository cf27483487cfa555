"""onset coverage: measures how often the onset's 95 % interval holds the truth.

    onset coverage [--replicates=1000] [--seed=0] [--output=docs/coverage.md]

Simulates members from known onsets, estimates each sweep as `onset sweep` does, and
writes a table of coverage, bias and width. No network is trained.
"""

from absl import flags

from sweeps.commands.study_flags import define_study_flags, read_study
from sweeps.studies.coverage import tabulate
from sweeps.studies.simulation import run_study


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this command."""
    define_study_flags(values, replicates=1000)


def command(values: flags.FlagValues) -> int:
    """Runs the command; returns its exit code."""
    from sweeps.report.coverage import render

    run_study(tabulate, render, **read_study(values))
    return 0
