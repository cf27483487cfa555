"""One pure training step of one member, and the state that it advances."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from routers.base import Array, Geometry
from train.backbone import Backbone, total_cross_entropy

ALIVE = -1
"""Value of `TrainState.diverged` as long as a member has not diverged."""
SHARES = "data"
"""Mesh axis whose devices share every batch of a member."""


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Settings of AdamW; the learning rate is traced and stored per member.

    Attributes:
      betas: Decay rates of the first and second moment.
      weight_decay: Decoupled weight decay, multiplied by the learning rate.
      clip: Largest global gradient norm; 0 turns clipping off.
      warmup: Number of steps of linear warm-up.
    """

    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 1e-4
    clip: float = 1.0
    warmup: int = 0


@dataclasses.dataclass(frozen=True)
class TrainSpec:
    """Everything that is fixed when training is compiled; the rest is traced.

    Attributes:
      model: The network around the routers.
      optimizer: Settings of AdamW.
      chunk: Number of steps between two measurements.
      batch: B, number of sequences in a batch.
      slot: Slot whose routers are measured, ``"token"`` or ``"depth"``.
      shares: Number of devices along the mesh axis `SHARES` that split every batch of
        a member; each of them takes ``B / shares`` rows.
    """

    model: Backbone
    optimizer: OptimizerConfig
    chunk: int
    batch: int
    slot: str = "token"
    shares: int = 1


class Member(struct.PyTreeNode):
    """What distinguishes one member of a sweep; stacked, it describes the whole sweep.

    Attributes:
      knobs: Value of every knob, named by slot; float32 scalars (or ``[H]``).
      init_key: PRNG key of the initial parameters.
      stream: Number of the data stream that the member reads, int32.
      learning_rate: Peak learning rate, float32.
    """

    knobs: dict[str, Array]
    init_key: Array
    stream: Array
    learning_rate: Array


class TrainState(struct.PyTreeNode):
    """The state that a training step advances.

    Attributes:
      params: Parameter tree.
      moments: Optimizer state.
      step: Number of steps taken, int32.
      diverged: Step at which loss or gradient was first not finite and the member was
        frozen, int32; `ALIVE` while it trains.
    """

    params: Any
    moments: optax.OptState
    step: Array
    diverged: Array


def make_optimizer(config: OptimizerConfig) -> optax.GradientTransformation:
    """AdamW's direction, before the learning rate is applied."""
    return optax.chain(
        optax.clip_by_global_norm(config.clip) if config.clip else optax.identity(),
        optax.scale_by_adam(*config.betas),
        optax.add_decayed_weights(config.weight_decay),
    )


def init_state(
    spec: TrainSpec, geometry: Geometry, inputs: Array, member: Member
) -> TrainState:
    """A fresh state; parameters depend on the member's key and on nothing else."""
    params = spec.model.init(member.init_key, inputs, geometry, member.knobs)["params"]
    return TrainState(
        params=params,
        moments=make_optimizer(spec.optimizer).init(params),
        step=jnp.zeros((), jnp.int32),
        diverged=jnp.full((), ALIVE, jnp.int32),
    )


def train_step(
    spec: TrainSpec,
    geometry: Geometry,
    member: Member,
    state: TrainState,
    inputs: Array,
    targets: Array,
) -> tuple[TrainState, Array]:
    """Trains one member on one batch; a member that diverges keeps its last state.

    Args:
      spec: What is static; not traced.
      geometry: Positions of one sequence or graph.
      member: The member's knobs and learning rate.
      state: State before the step.
      inputs: Tokens int32 ``[B, T]`` or features ``[B, T, F]``.
      targets: int32 ``[B, T]``.

    Returns:
      The state after the step and the loss before it, in nats per target.
    """
    shares = spec.shares
    inputs, targets = (_own_share(part, shares) for part in (inputs, targets))

    def loss_of(params: Any) -> Array:
        outputs: Any = spec.model.apply(
            {"params": params}, inputs, geometry, member.knobs
        )
        logits = outputs[0]
        total, learned = total_cross_entropy(logits, targets)
        return total / jnp.maximum(_over_shares(learned, shares), 1)

    # Each device computes its share of the mean, so that the sum over the devices is
    # exact even if some targets are ignored.
    share = jax.value_and_grad(loss_of)(state.params)
    loss, gradient = _over_shares(share, shares)
    optimizer = make_optimizer(spec.optimizer)
    direction, moments = optimizer.update(gradient, state.moments, state.params)
    warm = jnp.minimum(1.0, (state.step + 1) / max(spec.optimizer.warmup, 1))
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
    """The rows of a batch ``[B, ...]`` that this device takes."""
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
    """Draws the batches of one chunk for all members, one set per data stream.

    A batch depends on its stream and its step alone, so neither the length of chunks
    nor a resumed run changes the data.

    Args:
      task: A `train.tasks.Task`.
      stream_keys: PRNG keys of the data streams, ``[streams]``.
      first: Number of the step at which the chunk starts, int32.
      steps: Number of steps in the chunk.
      batch: B.

    Returns:
      Inputs ``[streams, steps, B, T]`` (or ``[…, F]``) and targets int32.
    """
    index = first + jnp.arange(steps)

    def of_stream(key: Array) -> tuple[Array, Array]:
        keys = jax.vmap(lambda step: jax.random.fold_in(key, step))(index)
        return jax.vmap(lambda key: task.sample(key, batch))(keys)

    return jax.vmap(of_stream)(stream_keys)
