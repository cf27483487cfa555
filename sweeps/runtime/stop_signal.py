"""Ctrl-C and SIGTERM: the sweep finishes and saves the current chunk, then ends."""

import signal
import threading
from types import FrameType
from typing import Any

from sweeps.runtime.processes import any_process

SIGNALS = (signal.SIGINT, signal.SIGTERM)
STOPPED = 75
"""Exit code of an interrupted sweep: "try again" (EX_TEMPFAIL of sysexits.h)."""


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
        return self

    def __exit__(self, *_: object) -> None:
        """Restores the former handlers."""
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
