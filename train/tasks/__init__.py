"""What a router learns: tasks, which are pytrees of arrays with a pure ``sample``."""

from typing import Protocol

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
