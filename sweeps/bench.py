"""onset bench: times training against what it replaces, in turn and in one run.

    onset bench --config=configs/attention.py [--members=16] [--steps=20]
    onset bench --what=mixing --config=configs/rwkv4.py [--lengths=512,1024,...]

``--what=sweep``: a sweep's training against a plain PyTorch loop. The peer trains the
same network, with the same optimiser and batches of the same shape, one member after
another in eager mode; needs the extra ``parity`` (PyTorch).

``--what=mixing``: forward and backward of one recurrent router against the same router
through a plain `lax.scan` and transformers' CPU path, where that is installed; time,
XLA's temporary memory, and how both grow with the length.
"""

import copy
import importlib.util
import time
from collections.abc import Callable

import jax
import numpy as np
from absl import flags
from rich.console import Console
from rich.table import Table

from sweeps.bench_mixing import bench_mixing
from sweeps.experiment import Experiment, build_experiment
from sweeps.placement import (
    Placement,
    choose_placement,
    claim_cores,
    cores,
    make_mesh,
)
from sweeps.programs import first_step
from sweeps.run import prepare

ROUNDS = 5


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
    flags.DEFINE_integer("members", 16, "Members to train.", flag_values=values)
    flags.DEFINE_integer("steps", 20, "Steps of each round.", flag_values=values)


def command(values: flags.FlagValues) -> int:
    """Runs the command; returns its exit code."""
    if not values.config:
        raise BadInput("--config is required")
    if values.what == "mixing":
        return _mixing(values)
    if importlib.util.find_spec("torch") is None:
        raise BadInput("needs PyTorch: pip install 'router-sweeps[parity]'")
    config = copy.deepcopy(values.config)
    members, steps = values.members, values.steps
    if members < 1 or steps < 1:
        raise BadInput(f"--members={members}, --steps={steps}: at least 1 each")
    config.sweep.update(seeds=members, num=1, high=config.sweep.low, zero=False)
    config.train.steps, config.eval.points = steps, 1
    try:
        claim_cores()
        experiment = build_experiment(config)
        plain = config.router.name == "attention" and not config.router.rotary
        if not plain or config.depth.name:
            raise ValueError("bench has a PyTorch peer for plain attention only")
    except ValueError as error:
        raise BadInput(str(error)) from None
    ours, peer = compare(experiment, config.sweep.devices, config.sweep.width)
    Console().print(_table(ours, peer, members), highlight=False)
    return 0


def _mixing(values: flags.FlagValues) -> int:
    if not all(length.isdecimal() for length in values.lengths):
        raise BadInput(f"--lengths={','.join(values.lengths)}: whole numbers")
    try:
        claim_cores()  # one thread a device, as a sweep trains
        lengths = [int(length) for length in values.lengths]
        bench_mixing(values.config, values.length, lengths)
    except ValueError as error:
        raise BadInput(str(error)) from None
    return 0


def compare(
    experiment: Experiment, devices: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Member-steps per second of both, ``[ROUNDS]`` each, measured in turn."""
    placement = choose_placement(devices, width, experiment.grid.members)
    ours = _jax_round(experiment, placement)
    peer = _torch_round(experiment)
    ours(), peer()
    work = experiment.grid.members * experiment.steps
    rates = [[work / _seconds(ours), work / _seconds(peer)] for _ in range(ROUNDS)]
    first, second = np.asarray(rates).T
    return first, second


def _seconds(function: Callable[[], None]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def _jax_round(experiment: Experiment, placement: Placement) -> Callable[[], None]:
    sweep = prepare(experiment, placement)
    zero = first_step(make_mesh(sweep.placement), 0)

    def one_round() -> None:
        sweep.states, losses = sweep.programs.chunk(
            sweep.states, sweep.members, sweep.task, sweep.streams, zero
        )
        losses.block_until_ready()

    return one_round


def _torch_round(experiment: Experiment) -> Callable[[], None]:
    """A round of the peer: every member in turn, eager, all cores."""
    import torch

    from sweeps.torch_peer import TorchBackbone

    torch.set_num_threads(cores())
    task, config = experiment.task, experiment.model.config
    heads = experiment.routers["token"][1].heads
    models = [TorchBackbone(config, heads) for _ in range(experiment.grid.members)]
    optimizers = [
        torch.optim.AdamW(
            model.parameters(),
            lr=experiment.learning_rate,
            betas=experiment.optimizer.betas,
            weight_decay=experiment.optimizer.weight_decay,
        )
        for model in models
    ]
    keys = jax.random.split(jax.random.key(0), experiment.steps)
    batches = [
        [
            torch.from_numpy(np.array(part)).long()
            for part in task.sample(key, experiment.batch)
        ]
        for key in keys
    ]
    brakes = [float(value) for value in experiment.grid.swept]

    def one_round() -> None:
        for model, optimizer, brake in zip(models, optimizers, brakes, strict=True):
            for tokens, targets in batches:
                loss = model.loss(tokens, targets, brake)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                if experiment.optimizer.clip:
                    torch.nn.utils.clip_grad_norm_(
                        model.parameters(), experiment.optimizer.clip
                    )
                optimizer.step()

    return one_round


def _table(ours: np.ndarray, peer: np.ndarray, members: int) -> Table:
    table = Table(title=f"member-steps per second, {members} members")
    for heading in ("program", "least", "median", "most", "ratio of medians"):
        table.add_column(heading, justify="right")
    base = np.median(peer)
    for name, rates in (("Onset", ours), ("PyTorch eager, one by one", peer)):
        table.add_row(
            name,
            f"{rates.min():.0f}",
            f"{np.median(rates):.0f}",
            f"{rates.max():.0f}",
            f"{np.median(rates) / base:.2f}",
        )
    return table
