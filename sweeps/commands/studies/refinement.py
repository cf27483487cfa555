"""onset refinement: measures how much narrower refined intervals are, at equal cost.

    onset refinement [--replicates=150] [--seed=0] [--output=docs/refinement.md]

Simulates seeds with known thresholds and estimates every sweep twice, from as many
members: with values refined as `onset sweep` refines them, and on a uniform grid. No
network is trained.
"""

from absl import flags

from sweeps.commands.studies.flags import define_study_flags, read_study
from sweeps.studies.refinement import tabulate
from sweeps.studies.simulation import run_study


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this command."""
    define_study_flags(values, replicates=150)


def command(values: flags.FlagValues) -> int:
    """Runs the command; returns its exit code."""
    from sweeps.report.refinement import render

    run_study(tabulate, render, **read_study(values))
    return 0
