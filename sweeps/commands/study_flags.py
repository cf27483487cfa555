"""The flags that the simulated studies have in common."""

from pathlib import Path
from typing import Any

from absl import flags

from sweeps.errors import BadInput


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
    if values.replicates < 1 or values.seed < 0:
        raise BadInput(
            f"--replicates={values.replicates} --seed={values.seed}: must be at least "
            "1 and at least 0"
        )
    output = Path(values.output) if values.output else None
    if output and not output.parent.is_dir():
        raise BadInput(f"--output={output}: its folder does not exist")
    return {"replicates": values.replicates, "seed": values.seed, "output": output}
