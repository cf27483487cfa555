"""One pure training step of one member, and the state it moves."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from routers.base import Array, Geometry
from train.backbone import Backbone, total_cross_entropy

ALIVE = -1
SHARES = "data"
"""Mesh axis whose devices share every batch of a member."""


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """AdamW. The learning rate is traced and stands with the members.

    Attributes:
      betas: decay of the first and second moment.
      weight_decay: decoupled, times the learning rate.
      clip: largest global gradient norm; 0 turns clipping off.
      warmup: steps of linear warm-up.
    """

    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 1e-4
    clip: float = 1.0
    warmup: int = 0


class Member(struct.PyTreeNode):
    """What is particular to one member of a sweep; stacked, the whole sweep.

    Attributes:
      knobs: by slot, float32 scalars (or ``[H]``).
      init_key: PRNG key of its initial parameters.
      stream: int32, which of the data streams it reads.
      learning_rate: float32, peak.
    """

    knobs: dict[str, Array]
    init_key: Array
    stream: Array
    learning_rate: Array


class TrainState(struct.PyTreeNode):
    """What training moves.

    Attributes:
      params: parameter tree.
      moments: optimizer state.
      step: int32, steps taken.
      diverged: int32, the step at which loss or gradient was first not finite, at
        which the member froze; `ALIVE` while it trains.
    """

    params: Any
    moments: optax.OptState
    step: Array
    diverged: Array


def make_optimizer(config: OptimizerConfig) -> optax.GradientTransformation:
    """AdamW's direction, before the learning rate. Build it once per sweep."""
    return optax.chain(
        optax.clip_by_global_norm(config.clip) if config.clip else optax.identity(),
        optax.scale_by_adam(*config.betas),
        optax.add_decayed_weights(config.weight_decay),
    )


def init_state(
    model: Backbone,
    optimizer: optax.GradientTransformation,
    geometry: Geometry,
    inputs: Array,
    member: Member,
) -> TrainState:
    """Fresh state; parameters depend on the member's key and on nothing else."""
    params = model.init(member.init_key, inputs, geometry, member.knobs)["params"]
    return TrainState(
        params=params,
        moments=optimizer.init(params),
        step=jnp.zeros((), jnp.int32),
        diverged=jnp.full((), ALIVE, jnp.int32),
    )


def train_step(
    model: Backbone,
    optimizer: optax.GradientTransformation,
    warmup: int,
    geometry: Geometry,
    member: Member,
    state: TrainState,
    inputs: Array,
    targets: Array,
    shares: int = 1,
) -> tuple[TrainState, Array]:
    """Moves one member by one batch; a member that diverges keeps its last state.

    Args:
      model: the network; static.
      optimizer: from `make_optimizer`; static.
      warmup: steps of linear warm-up; static.
      geometry: of one sequence.
      member: its knobs and learning rate.
      state: before the step.
      inputs: tokens int32 ``[B, T]`` or features ``[B, T, F]``.
      targets: int32 ``[B, T]``.
      shares: devices along `SHARES` that each take ``B / shares`` rows; static.

    Returns:
      The state after the step and the loss before it, nats per target.
    """
    inputs, targets = (_own_share(part, shares) for part in (inputs, targets))

    def loss_of(params: Any) -> Array:
        logits, _ = model.apply({"params": params}, inputs, geometry, member.knobs)
        total, learned = total_cross_entropy(logits, targets)
        return total / jnp.maximum(_over_shares(learned, shares), 1)

    # Shares of the mean, so that their sum is exact where some targets are ignored.
    share = jax.value_and_grad(loss_of)(state.params)
    loss, gradient = _over_shares(share, shares)
    direction, moments = optimizer.update(gradient, state.moments, state.params)
    warm = jnp.minimum(1.0, (state.step + 1) / max(warmup, 1))
    rate = member.learning_rate * warm
    params = jax.tree.map(lambda p, d: p - rate * d, state.params, direction)
    finite = jnp.isfinite(loss) & jnp.isfinite(optax.tree.norm(gradient))
    moving = finite & (state.diverged == ALIVE)
    # A select, not a cond: under vmap both branches would run anyway.
    params, moments = jax.tree.map(
        lambda new, old: jnp.where(moving, new, old),
        (params, moments),
        (state.params, state.moments),
    )
    stopped = jnp.where(finite, ALIVE, state.step)
    diverged = jnp.where(state.diverged == ALIVE, stopped, state.diverged)
    return TrainState(params, moments, state.step + 1, diverged), loss


def _own_share(batch: Array, shares: int) -> Array:
    """This device's rows of a batch ``[B, ...]``."""
    if shares == 1:
        return batch
    rows = batch.shape[0] // shares
    first = jax.lax.axis_index(SHARES) * rows
    return jax.lax.dynamic_slice_in_dim(batch, first, rows)


def _over_shares(tree: Any, shares: int) -> Any:
    """The sum over the devices that share a batch."""
    return tree if shares == 1 else jax.lax.psum(tree, SHARES)


def draw_batches(
    task: Any, stream_keys: Array, first: Array, steps: int, batch: int
) -> tuple[Array, Array]:
    """The batches of one chunk, one set per data stream, for all members.

    The batch of a step depends on its stream and step alone, so neither the chunk's
    length nor a resumed run changes the data.

    Args:
      task: a `train.tasks.Task`.
      stream_keys: PRNG keys ``[streams]``.
      first: int32, the step the chunk starts at.
      steps: of the chunk.
      batch: B.

    Returns:
      Inputs ``[streams, steps, B, T]`` (or ``[…, F]``) and targets int32.
    """
    index = first + jnp.arange(steps)

    def of_stream(key: Array) -> tuple[Array, Array]:
        keys = jax.vmap(lambda step: jax.random.fold_in(key, step))(index)
        return jax.vmap(lambda key: task.sample(key, batch))(keys)

    return jax.vmap(of_stream)(stream_keys)
