"""onset compare: the onsets of several sweeps side by side, and what sets them apart.

    onset compare DIR DIR ... [--over=train.length] [--output=FILE] [--figure=FILE]

Reads complete work directories and finds the settings in which they differ. With
``--over``, the critical value is also shown multiplied by that setting, and a power
law in that setting is fitted.
"""

from pathlib import Path

from absl import flags

from sweeps.errors import BadInput
from sweeps.findings.comparison import read_records


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this command."""
    flags.DEFINE_string(
        "over",
        None,
        "Setting to scale by, for example train.length.",
        flag_values=values,
    )
    flags.DEFINE_string("output", None, "Markdown file to write.", flag_values=values)
    flags.DEFINE_string("figure", None, "PNG file to write.", flag_values=values)


def command(values: flags.FlagValues, *directories: str) -> int:
    """Runs the command; returns its exit code."""
    if values.config is not None:
        raise BadInput("--config: is not taken, because the directories hold configs")
    for name in ("output", "figure"):
        path = values[name].value
        if path and not Path(path).parent.is_dir():
            raise BadInput(f"--{name}={path}: its folder does not exist")
    records = read_records([Path(directory) for directory in directories])
    from sweeps.report.comparison import draw, render  # Matplotlib is slow to import

    given = f" --over={values.over}" if values.over else ""
    text = render(records, values.over, given)
    if values.output:
        Path(values.output).write_text(text)
        print(f"wrote {values.output}")
    else:
        print(text, end="")
    if values.figure:
        draw(records, Path(values.figure))
        print(f"wrote {values.figure}")
    return 0
