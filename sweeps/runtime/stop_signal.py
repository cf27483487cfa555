"""Ctrl-C and SIGTERM in training: the current chunk is finished and saved first."""

import signal
import threading
from types import FrameType
from typing import Any

from sweeps.runtime.interrupts import INTERRUPTS, SIGNALS, STOPPED
from sweeps.runtime.processes import any_process

__all__ = ["STOPPED", "StopSignal", "Stopped"]


class Stopped(Exception):
    """The sweep was asked to stop, and everything up to this point is saved."""


class StopSignal:
    """Records a request to stop; a second Ctrl-C interrupts at once.

    Attributes:
      requested: Whether this process was asked to stop.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignal":
        """Installs the handlers; only the main thread can, so others leave them."""
        if threading.current_thread() is threading.main_thread():
            self._before = {one: signal.signal(one, self._note) for one in SIGNALS}
            INTERRUPTS.patient = True
        return self

    def __exit__(self, *_: object) -> None:
        """Restores the former handlers."""
        INTERRUPTS.patient = False
        for one, handler in self._before.items():
            signal.signal(one, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = True

    def check(self) -> None:
        """Ends the sweep if any process was asked to stop.

        All processes must call this together.

        Raises:
          Stopped: a process was asked to stop.
        """
        if any_process(self.requested):
            raise Stopped
