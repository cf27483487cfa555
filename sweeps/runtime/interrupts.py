"""Ctrl-C and SIGTERM of a command, from its first line to its last.

A handler that raises an exception is not enough: JAX's garbage-collection callback
swallows exceptions, a compiler holds them up for minutes, and Python waits at its exit
for threads that still compile. So a thread receives every signal, and ends the process
at once, with one line and an exit code. That is as safe as a power cut, which every
file of a sweep survives. Only training is different: there, the first signal is left
to `sweeps.runtime.stop_signal`, which finishes and saves the current chunk.

This module is imported before everything that is slow, so it imports nothing slow.
"""

import contextlib
import os
import signal
import threading
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)
STOPPED = 75
"""Exit code of an interrupted sweep: "try again" (EX_TEMPFAIL of sysexits.h)."""
SHOW_CURSOR = b"\x1b[?25h"
"""Makes the cursor visible again, which a progress display hides."""


class Interrupts:
    """What a signal does at this moment.

    Attributes:
      command: Name of the command, for the message.
      saved: What the message says about saved results; None while nothing is saved.
      patient: Whether the first signal is left to a handler that saves first.
      told: Whether the command has printed its last line.
    """

    def __init__(self) -> None:
        self.command = "onset"
        self.saved: str | None = None
        self.patient = False
        self.told = False
        self._noted = False
        self._watching = False

    def watch(self) -> None:
        """Ends this process by a signal from now on; for the main thread."""
        if self._watching:
            return
        self._watching = True
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        self.claim()
        receive = threading.Thread(target=self._receive, args=(reading,), daemon=True)
        receive.start()

    def claim(self) -> None:
        """Takes the signals again, after a library has installed its own handlers."""
        if self._watching:
            for number in SIGNALS:
                signal.signal(number, _ignore)

    def end(self, code: int, line: str) -> NoReturn:
        """Ends the process with one line, whatever its threads are doing."""
        with contextlib.suppress(OSError):
            if os.isatty(1):
                os.write(1, SHOW_CURSOR + b"\n")
            if not self.told:
                os.write(2, f"{line}\n".encode(errors="replace"))
        os._exit(code)

    def _receive(self, reading: int) -> None:
        while True:
            for number in os.read(reading, 64):
                if number in SIGNALS:
                    self._on_signal(number)

    def _on_signal(self, number: int) -> None:
        if self.patient and (not self._noted or number == signal.SIGTERM):
            self._noted = True
            return
        if self.saved is not None:
            self.end(STOPPED, f"{self.command}: stopped; {self.saved}")
        self.end(128 + number, f"{self.command}: interrupted; nothing was saved")


def _ignore(number: int, frame: FrameType | None) -> None:
    """Does nothing, in the main thread; the signal has reached the thread as well."""


def watch_command(arguments: list[str]) -> None:
    """Watches the signals of a command that was given on the command line."""
    if arguments and not arguments[0].startswith("-"):
        INTERRUPTS.command = f"onset {arguments[0]}"[:40]
    INTERRUPTS.watch()


INTERRUPTS = Interrupts()
"""Those of this process; without `watch`, they change nothing."""
