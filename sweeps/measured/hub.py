"""Finds a published model: on this machine, or by its name on the Hugging Face hub."""

import queue
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from routers.pretrained.packages import optional
from sweeps.errors import BadInput
from sweeps.storage.paths import user_path

NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")
FILES = (
    "config.json",
    "tokenizer.json",
    "model*.safetensors",
    "model.safetensors.index.json",
)
"""What is fetched: settings, tokenizer and weights that are no pickles."""
PATIENCE = 12.0
"""Seconds in which the hub must answer; resolving its name can take minutes alone."""


def locate(model: str, revision: str) -> tuple[Path, str]:
    """Where a model is, fetched if it is known by name alone.

    Args:
      model: Folder or file, or a name on the hub such as ``EleutherAI/pythia-160m``.
      revision: Branch, tag or commit on the hub; "" for its main branch.

    Returns:
      Folder or file, and the commit on the hub, "" for what was on this machine.

    Raises:
      BadInput: nothing can have this name, or the hub does not give it.
    """
    path = user_path("", model)
    if path.exists() or not NAME.fullmatch(model):
        if revision:
            raise BadInput(
                f"--revision={revision}: must be left out, because {model} is not a "
                "name on the Hugging Face hub"
            )
        return path, ""
    try:
        hub = optional("huggingface_hub")
    except ImportError as error:
        raise BadInput(f"{model}: is missing on this machine, and {error}") from None
    wanted = {"repo_id": model, "allow_patterns": list(FILES)}
    try:
        commit = _commit(hub, model, revision or None)
    except Exception as error:  # of the network, the hub, its packages
        try:  # what was fetched before
            kept = hub.snapshot_download(
                **wanted, revision=revision or None, local_files_only=True
            )
        except Exception:
            raise _missing(model, error) from None
        return Path(kept), Path(kept).name  # which the hub's cache names by the commit
    try:
        return Path(hub.snapshot_download(**wanted, revision=commit)), commit
    except Exception as error:
        raise _missing(model, error) from None


def _commit(hub: Any, model: str, revision: str | None) -> str:
    """The commit of a revision, if the hub answers in time."""
    return str(
        _within(
            PATIENCE,
            lambda: hub.HfApi().model_info(model, revision=revision).sha,
        )
    )


def _within(seconds: float, function: Callable[[], Any]) -> Any:
    """What a function returns or raises; TimeoutError if it takes too long."""
    answers: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()

    def call() -> None:
        try:
            answers.put((function(), None))
        except Exception as error:
            answers.put((None, error))

    threading.Thread(target=call, daemon=True).start()
    try:
        answer, error = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer in {seconds:g} s") from None
    if error is not None:
        raise error
    return answer


def _missing(model: str, error: Exception) -> BadInput:
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return BadInput(
        f"{model}: is missing on this machine, and the Hugging Face hub did not give "
        f"it ({said}); give the path of a folder with its config.json, tokenizer.json "
        "and model.safetensors"
    )
