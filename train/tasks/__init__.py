"""What a router learns: tasks as pytrees of arrays with a pure ``sample``."""

from typing import Protocol

from routers.base import Array, Geometry


class Task(Protocol):
    """A task is data, passed to the compiled loop as a traced argument."""

    @property
    def vocabulary(self) -> int:
        """V, symbols including any start symbol."""
        ...

    @property
    def length(self) -> int:
        """T, positions of one sequence."""
        ...

    def geometry(self) -> Geometry:
        """Geometry of one sequence."""
        ...

    def sample(self, key: Array, batch: int) -> tuple[Array, Array]:
        """Tokens and targets, int32 ``[B, T]`` each, from a PRNG key."""
        ...
