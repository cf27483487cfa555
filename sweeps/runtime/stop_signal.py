"""Ctrl-C and SIGTERM: the chunk is finished and saved, then the sweep ends."""

import signal
import threading
from types import FrameType
from typing import Any

from sweeps.runtime.processes import any_process

SIGNALS = (signal.SIGINT, signal.SIGTERM)
STOPPED = 75
"""Exit code of a sweep that was stopped: sysexits' "try again"."""


class Stopped(Exception):
    """The sweep was asked to stop, and everything up to here is saved."""


class Stopping:
    """While open, notes a request to stop; a second Ctrl-C interrupts at once."""

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Stopping":
        """Takes the signals, in the main thread; elsewhere nothing can."""
        if threading.current_thread() is threading.main_thread():
            self._before = {one: signal.signal(one, self._note) for one in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        """Gives them back."""
        for one, handler in self._before.items():
            signal.signal(one, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = True

    def check(self) -> None:
        """Ends the sweep where any process was asked to; all call it together.

        Raises:
          Stopped: on request.
        """
        if any_process(self.requested):
            raise Stopped
