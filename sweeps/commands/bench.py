"""onset bench: times training against what it replaces, alternately in one run.

    onset bench --config=configs/attention.py [--members=16] [--steps=20]
    onset bench --config=configs/attention.py --members=16,64,256 --figure=FILE.png
    onset bench --what=mixing --config=configs/rwkv4.py [--lengths=512,1024,...]

``--what=sweep`` measures member-steps per second and memory of a sweep as it runs, of
other placements, of a jitted step called from Python, and of PyTorch (eager, vmap and
compiled). All of them train the same network from the same parameters on the same
batches. PyTorch comes with the extra ``parity``; without it its rows say so. Attention
has all of these peers; graph attention (layers of PyTorch Geometric) has all but the
compiled vmap; RWKV-4 and Mamba-1 (layers of transformers) have the eager one. Counts of
members after the first also show how time grows with the number of members.

``--what=mixing`` measures forward and backward pass of one recurrent router, against
the same router through a plain `lax.scan` and against transformers' CPU path where that
is installed: time, XLA's temporary memory, and how both grow with the length.
"""

import shlex

from absl import flags
from ml_collections import config_flags

from sweeps.bench.contestants import build_timed, one_value
from sweeps.bench.mixing import bench_mixing
from sweeps.bench.training import bench_sweep
from sweeps.errors import BadInput
from sweeps.runtime.placement import claim_cores
from sweeps.storage.paths import figure_path, output_path, require_different


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this command beside ``--config``."""
    flags.DEFINE_enum(
        "what", "sweep", ("sweep", "mixing"), "What is timed.", flag_values=values
    )
    flags.DEFINE_integer(
        "length", 1024, "Mixing: T of the comparison.", flag_values=values
    )
    flags.DEFINE_list(
        "lengths",
        ["512", "1024", "2048", "4096"],
        "Mixing: T over which growth is fitted.",
        flag_values=values,
    )
    flags.DEFINE_list(
        "members",
        ["16"],
        "Sweep: members of the table; with more counts, how Onset grows over all.",
        flag_values=values,
    )
    flags.DEFINE_integer("steps", 20, "Sweep: steps of each round.", flag_values=values)
    flags.DEFINE_string(
        "output", "", "Sweep: write the tables as Markdown.", flag_values=values
    )
    flags.DEFINE_string(
        "figure",
        "",
        "Sweep: draw how time grows with the members; adds 1, 4, 16, 64 and 256.",
        flag_values=values,
    )


def command(values: flags.FlagValues) -> int:
    """Runs the command; returns its exit code."""
    if not values.config:
        raise BadInput("--config is required")
    claim_cores()  # one thread for each device, as a sweep trains
    if values.what == "mixing":
        lengths = _whole_numbers("lengths", values.lengths)
        bench_mixing(values.config, values.length, lengths)
        return 0
    counts = _whole_numbers("members", values.members)
    if min(counts) < 1 or values.steps < 1:
        listed = ",".join(values.members)
        raise BadInput(
            f"--members={listed}, --steps={values.steps}: must be at least 1 each"
        )
    output = output_path("output", values.output)
    figure = figure_path("figure", values.figure)
    require_different(output=output, figure=figure)
    config = one_value(values.config, counts[0], values.steps)
    bench_sweep(
        build_timed(config),
        config,
        counts,
        _command_line(values),
        output,
        figure,
    )
    return 0


def _whole_numbers(name: str, listed: list[str]) -> list[int]:
    if not listed or not all(number.isdecimal() for number in listed):
        raise BadInput(f"--{name}={','.join(listed)}: must be whole numbers")
    return [int(number) for number in listed]


def _command_line(values: flags.FlagValues) -> str:
    """The command as it was given, to be written above its tables."""
    config = values["config"]
    words = [f"--config={config_flags.get_config_filename(config)}"]
    for name in ("members", "steps", "output", "figure"):
        if values[name].present:
            given = values[name].value
            text = ",".join(given) if isinstance(given, list) else given
            words.append(f"--{name}={text}")
    overrides = config_flags.get_override_values(config)
    words += [f"--config.{key}={value}" for key, value in overrides.items()]
    return shlex.join(["onset", "bench", *words])
