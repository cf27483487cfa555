"""The process of `writer`, seen from the process that trains.

Nothing here ever waits for W&B unless it is asked to, and then with a limit.
"""

import concurrent.futures
import contextlib
import os
import pickle
import queue
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]
END_SECONDS = 5.0
"""How long the process may take to end, which includes wandb-core's own end."""

Future = concurrent.futures.Future[Any]


class Failed(Exception):
    """W&B did not do what was asked; the message says why, in one line."""


class Silent(Failed):
    """W&B has not answered in time."""


class WriterProcess:
    """A process that takes requests in their order and answers each one."""

    def __init__(self) -> None:
        """Starts the process, which imports W&B before it takes the first request."""
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        quiet = {
            "WANDB_SILENT": "true",
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        }
        self._process = subprocess.Popen(
            # -P: a folder `wandb` or `sweeps` where the user stands is none of ours.
            [sys.executable, "-P", "-m", "sweeps.tracking.writer", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | quiet,
            start_new_session=True,  # a Ctrl-C is for the sweep alone
        )
        self._requests: queue.SimpleQueue[tuple[str, Any] | None] = queue.SimpleQueue()
        self._waiting: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self._lively = _Lively()
        assert self._process.stdin and self._process.stdout
        for target, arguments in (
            (_send, (self._requests, self._process.stdin)),
            (_receive, (self._process.stdout, self._waiting, self._lively)),
        ):
            threading.Thread(target=target, args=arguments, daemon=True).start()
        self._end = weakref.finalize(self, _end, self._process, self._requests)

    def ask(self, request: str, content: Any = None) -> Future:
        """Sends a request; returns at once what will hold the answer, or `Failed`."""
        future: Future = concurrent.futures.Future()
        self._waiting.put(future)
        self._requests.put((request, content))
        if self._lively.gone:
            _fail(self._waiting)
        return future

    def wait(self, future: Future, seconds: float) -> Any:
        """Waits for an answer as long as there is a sign of life so often.

        Raises:
          Failed: W&B failed.
          Silent: there was no sign of life for so many seconds.
        """
        asked = time.monotonic()
        while True:
            left = max(asked, self._lively.last) + seconds - time.monotonic()
            try:
                return future.result(timeout=max(left, 0))
            except TimeoutError:
                if max(asked, self._lively.last) + seconds <= time.monotonic():
                    raise Silent(f"no answer within {seconds:.0f} s") from None

    def end(self, flush: bool = True) -> None:
        """Ends the process.

        Args:
          flush: Whether what W&B holds in memory is written down first.
        """
        if not flush:
            self._process.kill()
        self._end()


class _Lively:
    """When the process last answered anything, and whether it is gone."""

    def __init__(self) -> None:
        self.last, self.gone = time.monotonic(), False


def _send(requests: "queue.SimpleQueue[Any]", pipe: IO[bytes]) -> None:
    with contextlib.suppress(OSError), pipe:
        while (request := requests.get()) is not None:
            pickle.dump(request, pipe)
            pipe.flush()


def _receive(
    pipe: IO[bytes], waiting: "queue.SimpleQueue[Future]", lively: _Lively
) -> None:
    with pipe, contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
        while True:
            kind, value = pickle.load(pipe)
            lively.last = time.monotonic()
            if kind == "progress":
                continue
            future = waiting.get()
            if kind == "done":
                future.set_result(value)
            else:
                future.set_exception(Failed(value))
    lively.gone = True
    _fail(waiting)


def _fail(waiting: "queue.SimpleQueue[Future]") -> None:
    with contextlib.suppress(queue.Empty):
        while True:
            waiting.get_nowait().set_exception(Failed("its process ended"))


def _end(
    process: "subprocess.Popen[bytes]", requests: "queue.SimpleQueue[Any]"
) -> None:
    requests.put(None)
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
