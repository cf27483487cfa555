"""Output that cannot be written does not end a command.

A sweep runs for hours, and its record is in its work directory; a closed pipe, a full
disk or a terminal without the right characters must not end it.
"""

import errno
import io
import os
import sys
import threading
from types import TracebackType
from typing import Any, TextIO


class SteadyStream(io.TextIOBase):
    """A text stream whose errors are noted and not raised.

    After an error, everything goes to the null device, so that Python's own flush at
    the end does not fail either.

    Attributes:
      error: The first error; None while everything could be written.
    """

    def __init__(self, stream: TextIO) -> None:
        """Wraps a stream; what its encoding lacks is replaced from now on."""
        self._stream = stream
        self.error: OSError | None = None
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")

    # The stubs declare attributes where the class has read-only properties.
    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Encoding of the stream."""
        return self._stream.encoding or "ascii"

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """What is done with characters that the encoding lacks."""
        return self._stream.errors

    @property
    def buffer(self) -> Any:
        """The binary stream below, for those who write bytes."""
        return self._stream.buffer

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """File descriptor of the stream."""
        return self._stream.fileno()

    def writable(self) -> bool:
        """True; errors do not show."""
        return True

    def write(self, text: str) -> int:
        """Writes text if it can be written."""
        if self.error is None:
            try:
                self._stream.write(text)
            except OSError as error:
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """Flushes the stream if it can be flushed."""
        if self.error is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.error = error
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._stream.fileno())
        os.close(null)

    @property
    def lost(self) -> str | None:
        """Why output was lost; None if it was not, or if its reader did not want it."""
        if self.error is None or self.error.errno == errno.EPIPE:
            return None
        return self.error.strerror or str(self.error)


def steady_output() -> tuple[SteadyStream, SteadyStream]:
    """Makes standard output and standard error of this process steady; returns both."""
    for descriptor in (0, 1, 2):  # a closed one would become that of some other file
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest descriptor that is free is the closed one.
            os.open(os.devnull, os.O_RDWR)
    out = SteadyStream(sys.stdout or _null())
    err = SteadyStream(sys.stderr or _null())
    sys.stdout, sys.stderr = out, err
    return out, err


def quiet_threads() -> None:
    """Keeps tracebacks of library threads off the screen, but not the main thread's.

    When a save breaks off, TensorStore's threads report one traceback for every array,
    some through `sys.excepthook` and some through `sys.unraisablehook`. The error of
    the save itself reaches the main thread, which says it in one line.
    """
    raised, unraisable = sys.excepthook, sys.unraisablehook

    def show_raised(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if _in_main_thread():
            raised(kind, error, trace)

    def show_unraisable(report: "sys.UnraisableHookArgs") -> None:
        if _in_main_thread():
            unraisable(report)

    sys.excepthook, sys.unraisablehook = show_raised, show_unraisable


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _null() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")
