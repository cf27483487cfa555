"""What a router learns: tasks as pytrees of arrays with a pure ``sample``."""

from typing import Protocol

from routers.base import Array, Geometry


class Task(Protocol):
    """A task is data, passed to the compiled loop as a traced argument."""

    @property
    def outputs(self) -> int:
        """V, symbols (including any start symbol) or classes."""
        ...

    @property
    def length(self) -> int:
        """T, positions of one sequence or nodes of the graph."""
        ...

    def geometry(self) -> Geometry:
        """Geometry of one sequence."""
        ...

    def sample(self, key: Array, batch: int) -> tuple[Array, Array]:
        """Inputs ``[B, T]`` or ``[B, T, F]`` and targets int32 ``[B, T]``."""
        ...

    def held_out(self, key: Array, batch: int) -> tuple[Array, Array]:
        """The same from what is never trained on."""
        ...


def check_length(length: int) -> None:
    """Raises ValueError where sequences are too short for a hub to mean anything."""
    if length < 10:
        raise ValueError(
            f"train.length={length}: at least 10, below that even uniform routing "
            "passes for a hub"
        )
