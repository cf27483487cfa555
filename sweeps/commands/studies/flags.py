"""The flags that the simulated studies have in common."""

from typing import Any

from absl import flags

from sweeps.errors import BadInput
from sweeps.storage.paths import output_path

MOST_REPLICATES = 1_000_000


def define_study_flags(values: flags.FlagValues, replicates: int) -> None:
    """Defines the flags of a study.

    Args:
      values: Where the flags are defined.
      replicates: Default number of simulated sweeps in each cell.
    """
    flags.DEFINE_integer(
        "replicates",
        replicates,
        "Number of simulated sweeps in each cell.",
        flag_values=values,
    )
    flags.DEFINE_integer("seed", 0, "Seed of all random numbers.", flag_values=values)
    flags.DEFINE_string("output", None, "Markdown file to write.", flag_values=values)


def read_study(values: flags.FlagValues) -> dict[str, Any]:
    """Checks the flags; returns the keyword arguments of `run_study`.

    Raises:
      BadInput: a flag cannot be used.
    """
    if values.config is not None:
        raise BadInput("--config: is not taken, because no network is trained")
    for name, low, high in (
        ("replicates", 1, MOST_REPLICATES),
        ("seed", 0, 2**32 - 1),
    ):
        number: int = values[name].value or 0
        if not low <= number <= high:
            raise BadInput(
                f"--{name}={number}: must be a whole number, at least "
                f"{low} and at most {high:,}"
            )
    return {
        "replicates": values.replicates,
        "seed": values.seed,
        "output": output_path("output", values.output),
    }
