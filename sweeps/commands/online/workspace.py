"""onset workspace: builds a view and a report of sweeps in Weights & Biases.

    onset workspace --project=NAME [--entity=NAME] [DIR ...]

The view and the report overlay the onset curves of all sweeps of the project, or of the
sweeps of the given work directories, with the knob on a logarithmic axis, and group the
members in training by the knob. Needs the package wandb-workspaces.
"""

from absl import flags

from sweeps.errors import BadInput
from sweeps.storage.paths import user_path
from sweeps.tracking.process import Failed, WriterProcess
from sweeps.tracking.workspace import require_workspaces, scope_of

SECONDS = 30.0
"""How long W&B may take to save a view and a report."""


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this command."""
    flags.DEFINE_string(
        "project", None, "Project; by default that of the sweeps.", flag_values=values
    )
    flags.DEFINE_string(
        "entity", None, "User or team that owns the project.", flag_values=values
    )


def command(values: flags.FlagValues, *directories: str) -> int:
    """Runs the command; returns its exit code."""
    if values.config is not None:
        raise BadInput("--config: is not taken, because the directories hold configs")
    workdirs = [user_path("", directory) for directory in directories]
    scope = scope_of(workdirs, values.project or "", values.entity)
    require_workspaces()
    process = WriterProcess()
    try:
        addresses = process.wait(process.ask("save_view", scope), SECONDS)
    except Failed as error:
        raise OSError(f"Weights & Biases has saved nothing ({error})") from None
    finally:
        process.end(flush=False)
    for what, address in zip(("view", "report"), addresses, strict=True):
        print(f"{what}: {address}")
    return 0
