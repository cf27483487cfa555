"""The process in which W&B runs: takes requests on its standard input, one at a time.

    python -m sweeps.tracking.writer

A request is a pickled pair of a name and a content; the answer is a pickled pair, of
``done`` and a value or of ``failed`` and a reason in one line. While one is at work,
``progress`` is said for every run that W&B has taken. The process ends with its input,
or once the process that started it is gone; wandb-core is told first, because it keeps
records in memory until then.
"""

import contextlib
import importlib
import os
import pickle
import signal
import sys
import threading
import time
from typing import Any, NoReturn

from sweeps.tracking.runs import Runs, stop_core


def _reason(error: BaseException) -> str:
    """The first line of an error, without W&B's advice for programmers."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    for prefix in ("Timed out initializing run: ", "Timed out while retrying: "):
        line = line.removeprefix(prefix)
    return line[:200]


def _end(*_: Any) -> NoReturn:
    """Ends this process, after wandb-core has written down what it holds."""
    stop_core()
    os._exit(0)


def _watch(parent: int) -> None:
    """Ends this process soon after the one that started it."""
    while os.getppid() == parent:
        time.sleep(0.5)
    _end()


def main() -> NoReturn:
    """Answers requests until there are no more."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):  # W&B prints, and wandb-core inherits these
        os.dup2(null, standard)
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_watch, args=(int(sys.argv[1]),), daemon=True).start()
    answering = threading.Lock()

    def answer(kind: str, value: Any = None) -> None:
        with answering:
            pickle.dump((kind, value), answers)
            answers.flush()

    runs = Runs(lambda: answer("progress"))
    with contextlib.suppress(Exception):  # which the first request reports
        importlib.import_module("wandb")  # which takes 2 s, or 20 on a busy machine
    answer("progress")
    while True:
        try:
            name, content = pickle.load(requests)
        except EOFError:
            _end()
        try:
            answer("done", getattr(runs, name)(content))
        # Networks, services and files below W&B raise anything.
        except BaseException as error:
            answer("failed", _reason(error))


if __name__ == "__main__":
    main()
