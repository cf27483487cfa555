"""The quick contract, which a router of another package fulfils before it is swept.

Onset's own routers fulfil the whole contract in the tests. Another package's may have
been edited a minute ago, and every figure of a sweep is read from what it reports.
"""

import contextlib
import hashlib
import importlib
import json
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from routers import contract
from sweeps.design.experiment import Experiment
from sweeps.design.in_effect import code_in_effect
from sweeps.errors import BadInput
from sweeps.runtime.compile_cache import cache_folder
from sweeps.storage.files import read_json, write_json


def require_contract(experiment: Experiment, tell: Callable[[str], None]) -> None:
    """Runs the quick contract on routers of other packages, once for each version.

    That a router passed is remembered in `cache_folder`, by its code and settings, the
    width, the length and the code of the contract. Nothing is run for Onset's own
    routers.

    Args:
      experiment: The experiment whose routers are checked.
      tell: Called with sentences for the user.

    Raises:
      BadInput: a check failed; the message has the first one.
    """
    model = experiment.spec.model.config
    for slot, code in code_in_effect(experiment.routers).items():
        router, settings = experiment.routers[slot]
        name = code["router"]
        known = _memory_of([code, repr(settings), model.width, model.length])
        notes = _recall(known)
        if notes is None:
            tell(f"checking {name} before its first sweep with this code and settings")
            notes = _examine(
                name, router(width=model.width, config=settings), model.length
            )
            _remember(known, notes)
        for note in notes:
            tell(f"{name}: {note}")


def _examine(name: str, router: Any, longest: int) -> list[str]:
    """What could not be checked of a router, or BadInput if a check failed."""
    findings = contract.examine(router, checks=contract.QUICK, longest=longest)
    failed = [finding for finding in findings if not finding.passed]
    if failed:
        first = failed[0]
        where = f" on {first.kind} geometry" if first.kind else ""
        raise BadInput(
            f"{name}: {len(failed)} of {len(findings)} checks failed; {first.check}"
            f"{where}: {first.detail} (onset check runs all of them)"
        )
    return [f"{f.check}: {f.unchecked}" for f in findings if f.unchecked]


def _memory_of(identity: list[Any]) -> Path | None:
    """The file that says that a router passed; None if there is no place for one."""
    folder = cache_folder()
    code = identity[0]
    if folder is None or None in code["modules"].values():
        return None  # a module without a file, as in a notebook, can change unseen
    text = json.dumps([*identity, _contract_code()], sort_keys=True)
    return folder / "contract" / f"{hashlib.sha256(text.encode()).hexdigest()}.json"


def _contract_code() -> str:
    """SHA-256 of the modules of the contract."""
    digest = hashlib.sha256()
    for found in pkgutil.iter_modules(contract.__path__):
        module = importlib.import_module(f"{contract.__name__}.{found.name}")
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()


def _recall(path: Path | None) -> list[str] | None:
    """What was remembered of a router that passed; None if nothing readable is."""
    try:
        notes = read_json(path) if path else None
    except (OSError, ValueError):
        return None
    return notes if isinstance(notes, list) else None


def _remember(path: Path | None, notes: list[str]) -> None:
    if path:
        with contextlib.suppress(OSError):  # then the router is checked again
            path.parent.mkdir(exist_ok=True)
            write_json(path, notes)
