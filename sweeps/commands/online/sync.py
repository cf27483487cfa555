"""onset sync: uploads to Weights & Biases what sweeps have written to disk for it.

    onset sync DIR ... [--project=NAME] [--entity=NAME]

Each directory is the work directory of a sweep that ran offline, or whose server was
lost. What W&B has taken once is not uploaded again, so the command can be repeated.
"""

from absl import flags

from sweeps.errors import BadInput
from sweeps.storage.paths import user_path
from sweeps.tracking.sync import check_server, upload, waiting

NOT_ALL = 1
"""Exit code where some run was not taken."""


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this command."""
    flags.DEFINE_string(
        "project", None, "Project to upload to, in place of theirs.", flag_values=values
    )
    flags.DEFINE_string(
        "entity", None, "User or team that owns the project.", flag_values=values
    )


def command(values: flags.FlagValues, *directories: str) -> int:
    """Runs the command; returns its exit code."""
    if values.config is not None:
        raise BadInput("--config: is not taken, because the directories hold configs")
    if not directories:
        raise BadInput("needs the work directory of at least one sweep")
    runs = {given: waiting(user_path("", given)) for given in directories}
    if any(runs.values()):
        check_server()
    failed = False
    for given, files in runs.items():
        if not files:
            print(f"{given}: everything is uploaded already")
            continue
        why = upload(files, values.project, values.entity)
        taken = len(files) - len(waiting(user_path("", given)))
        failed |= bool(why)
        print(
            f"{given}: {taken} of {len(files)} runs uploaded" + f" ({why})" * bool(why)
        )
    return NOT_ALL if failed else 0
