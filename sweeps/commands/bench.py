"""onset bench: times training against what it replaces, in turn and in one run.

    onset bench --config=configs/attention.py [--members=16] [--steps=20]
    onset bench --config=configs/attention.py --members=16,64,256 --figure=FILE.png
    onset bench --what=mixing --config=configs/rwkv4.py [--lengths=512,1024,...]

``--what=sweep``: member-steps per second and memory of a sweep as it runs, of its
other placements, of a jitted step called from Python, and of PyTorch (eager, vmap and
compiled), which train the same network from the same parameters on the same batches;
needs the extra ``parity`` (PyTorch), without which its rows say so. Attention has all
of these, graph attention (layers of PyTorch Geometric) all but the compiled vmap, and
RWKV-4 and Mamba-1 (of transformers) the eager one. More counts of members after the
first add how time grows with them.

``--what=mixing``: forward and backward of one recurrent router against the same router
through a plain `lax.scan` and transformers' CPU path, where that is installed; time,
XLA's temporary memory, and how both grow with the length.
"""

import copy
import shlex
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags

from sweeps.bench.contestants import build_timed
from sweeps.bench.mixing import bench_mixing
from sweeps.bench.training import bench_sweep
from sweeps.runtime.placement import claim_cores


class BadInput(ValueError):
    """A setting that cannot run; the message is one line for the user."""


def define_flags(values: flags.FlagValues) -> None:
    """Flags of this command beside ``--config``."""
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
    try:
        claim_cores()  # one thread a device, as a sweep trains
        if values.what == "mixing":
            lengths = _whole_numbers("lengths", values.lengths)
            bench_mixing(values.config, values.length, lengths)
            return 0
        counts = _whole_numbers("members", values.members)
        if min(counts) < 1 or values.steps < 1:
            listed = ",".join(values.members)
            raise ValueError(
                f"--members={listed}, --steps={values.steps}: at least 1 each"
            )
        for name, path in (("output", values.output), ("figure", values.figure)):
            if not Path(path).parent.is_dir():
                raise ValueError(f"--{name}={path}: no such folder")
        config = one_value(values.config, counts[0], values.steps)
        bench_sweep(
            build_timed(config),
            config,
            counts,
            _command_line(values),
            Path(values.output) if values.output else None,
            Path(values.figure) if values.figure else None,
        )
    except ValueError as error:
        raise BadInput(str(error)) from None
    return 0


def one_value(config: ConfigDict, members: int, steps: int) -> ConfigDict:
    """The config of members that differ in their seeds alone, for one chunk.

    All have the least value of the swept knob, on which time does not depend, or that
    which their peer knows, see `sweeps.bench.contestants.build_timed`.
    """
    config = copy.deepcopy(config)
    sweep = config.sweep
    sweep.update(seeds=members, data_seeds=1, num=1, high=sweep.low, zero=False)
    sweep.refine.rounds = 0
    config.train.update(steps=steps, warmup=0)
    config.eval.points = 1
    return config


def _whole_numbers(name: str, listed: list[str]) -> list[int]:
    if not listed or not all(number.isdecimal() for number in listed):
        raise ValueError(f"--{name}={','.join(listed)}: whole numbers")
    return [int(number) for number in listed]


def _command_line(values: flags.FlagValues) -> str:
    """The command that was given, to stand above what it wrote."""
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
