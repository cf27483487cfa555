"""onset report: one HTML page of sweeps and measured models, which needs no network.

    onset report DIR... [--output=report.html]

Reads work directories, finished or not, and writes one file with the findings, onset
curves laid over each other, courses in training and in depth, routing matrices, and
what differs between the sweeps. Every finished sweep writes such a page of itself into
its work directory.
"""

import shlex

from absl import flags
from rich.console import Console
from rich.markup import escape

from sweeps.errors import BadInput
from sweeps.page.document import write_report
from sweeps.storage.paths import output_path, user_path


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this command."""
    flags.DEFINE_string(
        "output", "report.html", "HTML file to write.", flag_values=values
    )


def command(values: flags.FlagValues, *directories: str) -> int:
    """Runs the command; returns its exit code."""
    if values.config is not None:
        raise BadInput("--config: is not taken, because the directories hold configs")
    output = output_path("output", values.output)
    if output is None:
        raise BadInput("--output=: must be a path")
    folders = [user_path("", directory) for directory in directories]
    made = ["onset", "report", *directories, f"--output={values.output}"]
    with Console(stderr=True).status("reading") as status:

        def tell(name: str) -> None:
            status.update(f"reading {escape(name)}")

        write_report(folders, output, made, tell)
    print(f"wrote {shlex.quote(values.output)}")
    return 0
