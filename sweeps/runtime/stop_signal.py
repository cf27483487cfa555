"""Ctrl-C and SIGTERM: the current chunk is finished and saved, then the sweep ends."""

import signal
import threading
from types import FrameType
from typing import Any

from sweeps.runtime.processes import any_process

SIGNALS = (signal.SIGINT, signal.SIGTERM)
STOPPED = 75
"""Exit code of a sweep that was stopped: "try again" (EX_TEMPFAIL of sysexits.h)."""


class Stopped(Exception):
    """The sweep was asked to stop, and everything up to here is saved."""


class StopSignal:
    """Notes a request to stop while it is open; a second Ctrl-C interrupts at once."""

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignal":
        """Takes over the signals in the main thread; other threads cannot."""
        if threading.current_thread() is threading.main_thread():
            self._before = {one: signal.signal(one, self._note) for one in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        """Gives the signals back to their former handlers."""
        for one, handler in self._before.items():
            signal.signal(one, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = True

    def check(self) -> None:
        """Ends the sweep if any process was asked to stop; all call it together.

        Raises:
          Stopped: a process was asked to stop.
        """
        if any_process(self.requested):
            raise Stopped
