"""onset coverage: measures how often the onset's 95 % interval holds the truth.

    onset coverage [--replicates=1000] [--seed=0] [--output=docs/coverage.md]

Simulates members from known onsets, estimates each sweep as `onset sweep` does, and
writes tables of coverage, bias and width, and of how often three parts of the signature
are said to coincide or to differ. No network is trained.
"""

from typing import Any

from absl import flags

from sweeps.commands.studies.flags import define_study_flags, read_study
from sweeps.studies import agreement, coverage
from sweeps.studies.simulation import Tell, run_study


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this command."""
    define_study_flags(values, replicates=1000)


def command(values: flags.FlagValues) -> int:
    """Runs the command; returns its exit code."""
    from sweeps.report.coverage import render, render_agreement

    def tabulate(replicates: int, seed: int, tell: Tell) -> tuple[Any, Any]:
        return (
            coverage.tabulate(replicates, seed, tell),
            agreement.tabulate(replicates, seed, tell),
        )

    def document(tables: tuple[Any, Any], replicates: int, seed: int) -> str:
        coverages, verdicts = tables
        return render(coverages, replicates, seed) + render_agreement(
            verdicts, replicates
        )

    run_study(tabulate, document, **read_study(values))
    return 0
