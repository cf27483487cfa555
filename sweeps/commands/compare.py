"""onset compare: the onsets of several sweeps side by side, and what sets them apart.

    onset compare DIR DIR ... [--over=train.length] [--output=FILE] [--figure=FILE]

Reads complete work directories and finds the settings in which they differ. With
``--over``, the critical value is also shown multiplied by that setting, and a power
law in that setting is fitted.
"""

from absl import flags

from sweeps.errors import BadInput
from sweeps.findings.comparison import read_records
from sweeps.storage.paths import (
    figure_path,
    output_path,
    require_different,
    user_path,
)
from sweeps.storage.shape import showing


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this command."""
    flags.DEFINE_string(
        "over",
        None,
        "Setting to scale by, for example train.length.",
        flag_values=values,
    )
    flags.DEFINE_string("output", None, "Markdown file to write.", flag_values=values)
    flags.DEFINE_string(
        "figure", None, "Figure to write: PNG, PDF or SVG.", flag_values=values
    )


def command(values: flags.FlagValues, *directories: str) -> int:
    """Runs the command; returns its exit code."""
    if values.config is not None:
        raise BadInput("--config: is not taken, because the directories hold configs")
    output = output_path("output", values.output)
    figure = figure_path("figure", values.figure)
    require_different(output=output, figure=figure)
    records = read_records([user_path("", directory) for directory in directories])
    from sweeps.report.comparison import draw, render  # Matplotlib is slow to import

    given = f" --over={values.over}" if values.over else ""
    with showing(" or ".join(directories)):
        text = render(records, values.over, given)
    if output:
        output.write_text(text, encoding="utf-8")
        print(f"wrote {values.output}")
    else:
        print(text, end="")
    if figure:
        with showing(" or ".join(directories)):
            draw(records, figure)
        print(f"wrote {values.figure}")
    return 0
