"""Training of PyTorch peers: members one after another, or all at once by vmap.

The functional step of one member, which can be compiled or mapped by vmap, writes out
AdamW and clipping. The eager step uses PyTorch's own optimiser in its fused form, which
is the fastest.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from routers.attention import Attention
from routers.graph_attention import GraphAttention
from sweeps.bench.peers.torch_backbone import Mixer, TorchAttention, TorchBackbone
from sweeps.design.experiment import Experiment
from sweeps.engine.inputs import take_row
from train.step import OptimizerConfig

Batch = tuple[Tensor, Tensor]
EPSILON = 1e-8
"""Epsilon of Adam, the same in PyTorch and in Optax."""
CLIP_EPSILON = 1e-6
"""Constant that `torch.nn.utils.clip_grad_norm_` adds to the norm."""


class EagerPeer:
    """Eager training of members one after another, the usual way to write it.

    Attributes:
      models: One model per member; training changes their parameters.
    """

    def __init__(
        self,
        models: Sequence[TorchBackbone],
        brakes: Sequence[float],
        batches: Sequence[Batch],
        optimizer: OptimizerConfig,
        rate: float,
    ) -> None:
        """Makes one optimiser per member; ``rate`` is the learning rate."""
        self.models, self._brakes, self._batches = models, brakes, batches
        self._clip = optimizer.clip
        self._optimizers = [
            torch.optim.AdamW(
                model.parameters(),
                lr=rate,
                betas=optimizer.betas,
                weight_decay=optimizer.weight_decay,
                fused=True,
            )
            for model in models
        ]

    def train(self) -> Tensor:
        """Trains all members on all batches; losses ``[M, steps]`` before each step."""
        members = zip(self.models, self._optimizers, self._brakes, strict=True)
        losses = [
            self._step(model, optimizer, brake, batch)
            for model, optimizer, brake in members
            for batch in self._batches
        ]
        return torch.stack(losses).reshape(len(self.models), -1)

    def parameters(self, member: int) -> dict[str, Tensor]:
        """Parameters of one member, by name."""
        return dict(self.models[member].named_parameters())

    def _step(
        self, model: nn.Module, optimizer: Any, brake: float, batch: Batch
    ) -> Tensor:
        loss = model(*batch, brake)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self._clip:
            nn.utils.clip_grad_norm_(model.parameters(), self._clip)
        optimizer.step()
        return loss.detach()


def make_peer(
    experiment: Experiment,
    style: Mapping[str, Any] | None,
    params: Any,
    batches: tuple[np.ndarray, np.ndarray],
) -> "EagerPeer | FunctionalPeer":
    """Makes a peer of an experiment's members that starts from the same parameters.

    Args:
      experiment: Experiment that has a peer, see `contestants.why_no_peer`.
      style: Keyword arguments of `FunctionalPeer`; None means eager training.
      params: Parameters of the backbone, NumPy arrays ``[M, ...]``.
      batches: Inputs, which are tokens ``[steps, B, T]`` or features
        ``[steps, B, T, F]``, and targets ``[steps, B, T]``.
    """
    inputs, targets = (torch.tensor(part) for part in batches)
    features = inputs.shape[-1] if inputs.is_floating_point() else 0
    mixer = make_mixer(experiment)
    models = []
    for member, _ in enumerate(experiment.grid.value):
        model = TorchBackbone(experiment.spec.model.config, mixer, features)
        model.load(take_row(params, member))
        models.append(model)
    brakes = [float(value) for value in experiment.grid.swept]
    if not features:
        inputs = inputs.long()
    steps = list(zip(inputs, targets.long(), strict=True))
    common = models, brakes, steps, experiment.spec.optimizer, experiment.learning_rate
    return EagerPeer(*common) if style is None else FunctionalPeer(*common, **style)


def make_mixer(experiment: Experiment) -> Mixer:
    """Imports the library that provides the mixer; returns what makes one layer's."""
    config = experiment.spec.model.config
    router, settings = experiment.routers["token"]
    if router is Attention:
        return partial(TorchAttention, config.width, settings.heads, config.length)
    if router is GraphAttention:
        from sweeps.bench.peers.geometric import GeometricMixer, edge_index

        edges = edge_index(experiment.task.geometry())
        return partial(GeometricMixer, config.width, settings, edges)
    from sweeps.bench.peers.huggingface import TransformersMixer

    return partial(TransformersMixer, router(config.width, settings))


State = tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor], Tensor]
"""Parameters, first moments, second moments, and number of steps taken."""
Step = Callable[[State, Tensor, Tensor, Tensor], tuple[State, Tensor]]


class FunctionalPeer:
    """Training by the functional step: members one after another, or by vmap."""

    def __init__(
        self,
        models: Sequence[TorchBackbone],
        brakes: Sequence[float],
        batches: Sequence[Batch],
        optimizer: OptimizerConfig,
        rate: float,
        *,
        stacked: bool,
        compiled: bool,
    ) -> None:
        """Makes the step and the states that it updates.

        Args:
          models: One model per member; their parameters are copied.
          brakes: One brake per member.
          batches: Batches of one call of `train`.
          optimizer: Settings of AdamW.
          rate: Learning rate.
          stacked: Whether all members are trained at once by vmap.
          compiled: Whether `torch.compile` compiles the whole step.
        """
        self._members, self._batches, self._stacked = len(models), batches, stacked
        step = functional_step(models[0], optimizer, rate)
        if stacked:
            step = vmap(step, in_dims=(0, None, None, 0))
            params, _ = stack_module_state(list(models))
            self._states = [_fresh(params, torch.zeros(len(models)))]
            self._brakes = [torch.tensor(brakes)]
        else:
            self._states = [
                _fresh(dict(model.named_parameters()), torch.zeros(()))
                for model in models
            ]
            self._brakes = [torch.tensor(brake) for brake in brakes]
        self._step = torch.compile(step) if compiled else step

    def train(self) -> Tensor:
        """Trains all members on all batches; losses ``[M, steps]`` before each step."""
        losses = []
        for index, brake in enumerate(self._brakes):
            for tokens, targets in self._batches:
                state = self._states[index]
                self._states[index], loss = self._step(state, tokens, targets, brake)
                losses.append(loss)
        together = torch.stack(losses)
        return together.T if self._stacked else together.reshape(self._members, -1)

    def parameters(self, member: int) -> dict[str, Tensor]:
        """Parameters of one member, by name."""
        if not self._stacked:
            return self._states[member][0]
        return {name: every[member] for name, every in self._states[0][0].items()}


def functional_step(
    model: TorchBackbone, optimizer: OptimizerConfig, rate: float
) -> Step:
    """Makes the training step of a member as a function of state, batch and brake.

    Args:
      model: Model that provides the structure and the buffers, but no parameters.
      optimizer: Settings of AdamW.
      rate: Learning rate.
    """
    first, second = optimizer.betas
    skeleton = copy.deepcopy(model).requires_grad_(False)

    def loss_of(params: Any, tokens: Tensor, targets: Tensor, brake: Tensor) -> Any:
        return functional_call(skeleton, params, (tokens, targets, brake))

    def step(
        state: State, tokens: Tensor, targets: Tensor, brake: Tensor
    ) -> tuple[State, Tensor]:
        params, mean, square, count = state
        gradient, loss = grad_and_value(loss_of)(params, tokens, targets, brake)
        if optimizer.clip:
            squares = torch.stack([g.square().sum() for g in gradient.values()])
            norm = squares.sum().sqrt() + CLIP_EPSILON
            scale = (optimizer.clip / norm).clamp(max=1.0)
            gradient = {name: g * scale for name, g in gradient.items()}
        count = count + 1
        unbias = 1 - first**count, 1 - second**count
        moved: State = {}, {}, {}, count
        for name, g in gradient.items():
            moved[1][name] = m = torch.lerp(g, mean[name], first)
            moved[2][name] = s = torch.lerp(g.square(), square[name], second)
            direction = m / unbias[0] / ((s / unbias[1]).sqrt() + EPSILON)
            decay = optimizer.weight_decay * params[name]
            moved[0][name] = params[name] - rate * (direction + decay)
        return moved, loss

    return step


def _fresh(params: dict[str, Tensor], count: Tensor) -> State:
    """The state at step 0, of one member or of stacked members."""
    own = {name: p.detach().clone() for name, p in params.items()}
    first, second = (
        {name: torch.zeros_like(p) for name, p in own.items()} for _ in range(2)
    )
    return own, first, second, count
