"""onset plan: compiles a sweep for TPU slices, on a machine that has none.

    onset plan --config=configs/attention.py --topology=v5e:4x4[,v5p:2x2x1,...]

Says for each slice how many members the memory of a chip holds, and the least time that
the sweep takes there. Needs the extra ``tpu``.
"""

import importlib.util

from absl import flags
from rich.console import Console

from sweeps.clusters.compile import use_described_tpus
from sweeps.clusters.plan import plan
from sweeps.clusters.plan_table import footnote, plan_table
from sweeps.clusters.slices import parse_topology
from sweeps.design.experiment import build_experiment
from sweeps.errors import BadInput


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this command beside ``--config``."""
    flags.DEFINE_list(
        "topology",
        ["v5e:4x4"],
        "Slices, for example v5e:4x4,v5p:2x2x1.",
        flag_values=values,
    )


def command(values: flags.FlagValues) -> int:
    """Runs the command; returns its exit code."""
    if not values.config:
        raise BadInput("--config is required")
    try:
        slices = [parse_topology(name) for name in values.topology]
    except BadInput as error:
        raise BadInput(f"--topology={error}") from None
    if not slices:
        raise BadInput("--topology=: must name at least one slice, for example v5e:4x4")
    if importlib.util.find_spec("libtpu") is None:
        raise BadInput("needs libtpu: pip install 'router-sweeps[tpu]'")
    use_described_tpus()
    # A width of 0 is chosen by timing, which needs the chip.
    width = values.config.sweep.width or 1
    if width < 1:
        raise BadInput(
            f"sweep.width={width}: must be at least 1, or 0, which is 1 here"
        )
    if values.config.sweep.data != 1:
        raise BadInput(
            f"sweep.data={values.config.sweep.data}: must be 1 to make a plan"
        )
    console = Console()
    experiment = build_experiment(values.config)
    plans = []
    for one in slices:
        with console.status(f"compiling for {one.name}"):
            plans.append(plan(experiment, width, one))
    console.print(plan_table(plans, experiment), highlight=False)
    console.print(footnote(width), highlight=False)
    return 0
