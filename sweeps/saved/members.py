"""Trained networks with their knobs: one of them, or several stacked."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, overload

import jax
import jax.numpy as jnp
import numpy as np

from routers.base import Array, Geometry
from sweeps.engine.inputs import take_row, take_rows
from train.backbone import Backbone, cross_entropy


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Member:
    """One trained network with its knobs.

    Attributes:
      model: The network, a Linen module.
      slot: Slot whose routers were measured.
      geometry: Positions of one sequence or graph.
      knobs: Value of every knob, named by slot, float32 scalars.
      params: Its parameters, a tree of NumPy arrays.
      seeds: Seed of the initial parameters and number of the data stream.
      step: Number of training steps that the parameters have had.
    """

    model: Backbone
    slot: str
    geometry: Geometry
    knobs: dict[str, np.ndarray]
    params: Any
    seeds: tuple[int, int]
    step: int

    def __repr__(self) -> str:
        knobs = ", ".join(f"{name}={value:g}" for name, value in self.knobs.items())
        sizes = [leaf.size for leaf in jax.tree.leaves(self.params)]
        return (
            f"Member({knobs}, seeds={self.seeds}, step={self.step}, "
            f"{sum(sizes):,} parameters)"
        )

    def apply(self, inputs: Array) -> Array:
        """Logits float32 ``[B, T, V]`` for inputs ``[B, T, ...]``."""
        return self._run(_logits, inputs)

    def routing(self, inputs: Array) -> Array:
        """Routing weights ``[L, B, H, T, S]`` for inputs ``[B, T, ...]``."""
        return self._run(_routing, inputs)

    def loss(self, inputs: Array, targets: Array) -> Array:
        """Mean cross-entropy in nats over the known targets int32 ``[B, T]``."""
        return self._run(_loss, inputs, targets)

    def _run(self, function: Callable[..., Array], *data: Array) -> Array:
        row = self.params, self.knobs
        return _of_one(function, self.model, self.slot, row, self.geometry, *data)


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Members(Sequence[Member]):
    """Trained networks, stacked: a sequence of them, and one call for all.

    Members share inputs and differ in parameters and knobs. A call is one compiled
    program, in which no more members are worked on at once than a device trained at
    once in their sweep; only the results of all are held together.

    Attributes:
      model: The network, a Linen module.
      slot: Slot whose routers were measured.
      geometry: Positions of one sequence or graph.
      knobs: Value of every knob, named by slot, float32 ``[M]`` each.
      params: Their parameters, a tree of NumPy arrays ``[M, ...]``.
      init_seed: Seeds of the initial parameters, int ``[M]``.
      data_seed: Numbers of the data streams, int ``[M]``.
      step: Number of training steps that the parameters have had.
      width: Number of members that are worked on at once.
    """

    model: Backbone
    slot: str
    geometry: Geometry
    knobs: dict[str, np.ndarray]
    params: Any
    init_seed: np.ndarray
    data_seed: np.ndarray
    step: int
    width: int

    def __len__(self) -> int:
        return len(self.init_seed)

    @overload
    def __getitem__(self, index: int) -> Member: ...

    @overload
    def __getitem__(self, index: slice) -> "Members": ...

    def __getitem__(self, index: int | slice) -> "Member | Members":
        if isinstance(index, slice):
            return dataclasses.replace(
                self,
                knobs=take_rows(self.knobs, index),
                params=take_rows(self.params, index),
                init_seed=self.init_seed[index],
                data_seed=self.data_seed[index],
            )
        return Member(
            model=self.model,
            slot=self.slot,
            geometry=self.geometry,
            knobs=take_row(self.knobs, index),
            params=take_row(self.params, index),
            seeds=(int(self.init_seed[index]), int(self.data_seed[index])),
            step=self.step,
        )

    def __repr__(self) -> str:
        varied = [
            f"{name} from {np.min(values):g} to {np.max(values):g}"
            for name, values in self.knobs.items()
            if len(set(values.tolist())) > 1
        ]
        told = ", ".join([*varied, f"step={self.step}"])
        return f"Members({len(self)} members, {told})"

    def apply(self, inputs: Array) -> Array:
        """Logits float32 ``[M, B, T, V]`` for inputs ``[B, T, ...]``."""
        return self._run(_logits, inputs)

    def routing(self, inputs: Array) -> Array:
        """Routing weights ``[M, L, B, H, T, S]`` for inputs ``[B, T, ...]``."""
        return self._run(_routing, inputs)

    def loss(self, inputs: Array, targets: Array) -> Array:
        """Mean cross-entropy ``[M]``, in nats, over the known targets int32 ``[B, T]``.

        No logits are held but those of the members that are worked on at once.
        """
        return self._run(_loss, inputs, targets)

    def _run(self, function: Callable[..., Array], *data: Array) -> Array:
        rows, width = (self.params, self.knobs), min(self.width, len(self))
        return _of_all(
            function, self.model, self.slot, width, rows, self.geometry, *data
        )


def _outputs(
    model: Backbone, row: Any, geometry: Geometry, inputs: Array
) -> tuple[Array, Any]:
    params, knobs = row
    outputs: Any = model.apply({"params": params}, inputs, geometry, knobs)
    logits, slots, _ = outputs
    return logits, slots


def _logits(
    model: Backbone, slot: str, row: Any, geometry: Geometry, inputs: Array
) -> Array:
    return _outputs(model, row, geometry, inputs)[0]


def _routing(
    model: Backbone, slot: str, row: Any, geometry: Geometry, inputs: Array
) -> Array:
    """The weights of every use of the slot's routers."""
    _, traces = _outputs(model, row, geometry, inputs)[1][slot]
    return jnp.stack([trace.routing.weights for trace in traces])


def _loss(
    model: Backbone,
    slot: str,
    row: Any,
    geometry: Geometry,
    inputs: Array,
    targets: Array,
) -> Array:
    return cross_entropy(_outputs(model, row, geometry, inputs)[0], targets)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _of_one(
    function: Callable[..., Array], model: Backbone, slot: str, row: Any, *data: Any
) -> Array:
    return function(model, slot, row, *data)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _of_all(
    function: Callable[..., Array],
    model: Backbone,
    slot: str,
    width: int,
    rows: Any,
    *data: Any,
) -> Array:
    return jax.lax.map(
        lambda row: function(model, slot, row, *data), rows, batch_size=width
    )
