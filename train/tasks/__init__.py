"""What a router learns: tasks, which are pytrees of arrays with a pure ``sample``."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from flax import struct

from routers.base import Array, Geometry


class Task(Protocol):
    """A task is data that is passed to the compiled loop as a traced argument."""

    @property
    def outputs(self) -> int:
        """V, number of symbols (including any start symbol) or classes."""
        ...

    @property
    def length(self) -> int:
        """T, number of positions of one sequence or of nodes of the graph."""
        ...

    def geometry(self) -> Geometry:
        """Geometry of one sequence or of the graph."""
        ...

    def sample(self, key: Array, batch: int) -> tuple[Array, Array]:
        """Draws inputs ``[B, T]`` or ``[B, T, F]`` and targets int32 ``[B, T]``."""
        ...

    def held_out(self, key: Array, batch: int) -> tuple[Array, Array]:
        """Draws the same from data that is never trained on."""
        ...


class Kind(struct.PyTreeNode):
    """Targets of one kind, to be measured apart, such as those that can be copied.

    Attributes:
      chosen: Which targets are of this kind, bool ``[B, T]``.
      surprise: ``-ln p`` of each target, in nats, under the distribution that it was
        drawn from, given the inputs up to its query, float32 ``[B, T]``; None where the
        task does not know it. It is finite also at targets of other kinds.
    """

    chosen: Array
    surprise: Array | None = None


@runtime_checkable
class HasKinds(Protocol):
    """A task that distinguishes kinds of targets. This is optional."""

    def kinds(self, inputs: Array, targets: Array) -> Mapping[str, Kind]:
        """Names kinds of the targets ``[B, T]``; pure, so that it can be traced.

        Args:
          inputs: Inputs from `Task.sample` or `Task.held_out`.
          targets: Their targets; target t is predicted by query t.

        Returns:
          Kinds by a name that becomes the last part of a measure's name. They may
          overlap, and a target may be of none.
        """
        ...


def kinds_of(task: Task, inputs: Array, targets: Array) -> Mapping[str, Kind]:
    """The kinds of some targets; empty for a task that distinguishes none."""
    return task.kinds(inputs, targets) if isinstance(task, HasKinds) else {}


def check_length(length: int) -> None:
    """Checks that sequences are long enough for a hub to mean anything.

    Raises:
      ValueError: the length is below 10.
    """
    if length < 10:
        raise ValueError(
            f"train.length={length}: must be at least 10, because in shorter sequences "
            "even uniform routing passes for a hub"
        )
