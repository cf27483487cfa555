"""The work directory, which belongs to one sweep and to one launch at a time."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from sweeps.errors import BadInput
from sweeps.storage.contents import check_kinds, check_path
from sweeps.storage.files import (
    CHECKPOINT,
    FIGURES,
    JOURNAL,
    MANIFEST,
    REPORT,
    ROUTING,
    SUMMARY,
    checksum,
    is_temporary,
    looks_whole,
    read_json,
    remove_temporaries,
)
from sweeps.storage.lock import LOCK, READ_ONLY, lock
from sweeps.storage.manifest import changed_settings, read_manifest
from sweeps.storage.measurements import foreign_waves
from sweeps.storage.shape import SCHEMA, SUMMARY_SHAPE, check_shape

DRAWN = ("onset", "parts", "onset_step", "map_steps", "map_layers", "routing")
"""Names of the figures of a complete sweep."""


@contextlib.contextmanager
def hold(workdir: Path) -> Iterator[None]:
    """Keeps other launches out of the directory.

    A directory that cannot be written is held without a lock if its sweep is complete,
    because nobody can change it. A directory that was created here is removed again if
    nothing was put into it.

    Args:
      workdir: Directory to hold, created if missing.

    Raises:
      BadInput: the directory is not writable, or it is not empty and holds no sweep,
        or another launch holds it.
    """
    check_path(workdir)
    created = [p for p in (workdir, *workdir.parents) if not p.exists()]
    with contextlib.ExitStack() as held:
        try:
            workdir.mkdir(parents=True, exist_ok=True)
            held.callback(_remove_empty, created)
            _check_ours(workdir)
            held.enter_context(lock(workdir))
            for folder in (workdir, workdir / FIGURES, (workdir / CHECKPOINT).parent):
                remove_temporaries(folder)
        except OSError as error:
            if error.errno not in READ_ONLY or not _is_complete(workdir):
                raise BadInput(
                    f"workdir={workdir}: cannot be written ({error.strerror})"
                ) from None
        yield


def _check_ours(workdir: Path) -> None:
    names = {path.name for path in workdir.iterdir() if not is_temporary(path)}
    journal = workdir / JOURNAL  # a launch may die between making it and its manifest
    if journal.is_dir() and not any(journal.iterdir()):
        names.discard(JOURNAL)
    if names - {LOCK} and MANIFEST not in names:
        raise BadInput(
            f"workdir={workdir}: is not empty and holds no sweep; choose another "
            "directory"
        )


def _is_complete(workdir: Path) -> bool:
    return (workdir / MANIFEST).exists() and read_manifest(workdir)["complete"]


def _remove_empty(created: list[Path]) -> None:
    """Removes the folders that a launch created, if they hold nothing but its lock."""
    with contextlib.suppress(OSError):
        if created and {path.name for path in created[0].iterdir()} <= {LOCK}:
            (created[0] / LOCK).unlink(missing_ok=True)
            for folder in created:
                folder.rmdir()


def claim(workdir: Path, config: ConfigDict, mark: str) -> bool:
    """Checks that the directory is free for a sweep or already belongs to it.

    Args:
      workdir: Directory to claim, held by this launch.
      config: Config of the sweep.
      mark: Its `sweeps.storage.manifest.fingerprint`.

    Returns:
      True if this very sweep is already complete there.

    Raises:
      BadInput: the directory holds another sweep or a damaged one, or what is none of
        a sweep's.
    """
    check_kinds(workdir)
    if (workdir / MANIFEST).exists():
        manifest = read_manifest(workdir)
        if manifest["fingerprint"] != mark:
            raise BadInput(
                f"workdir={workdir}: holds another sweep "
                f"({changed_settings(manifest, config)}); choose another directory"
            )
        foreign = foreign_waves(workdir / JOURNAL, mark)
        if foreign:
            raise BadInput(
                f"workdir={workdir}: {foreign[0].relative_to(workdir)} belongs to "
                "another sweep; remove it, or choose another directory"
            )
        if manifest["complete"]:
            _check_results(workdir, manifest)
            # A launch that died before it drew the figures draws them now, from its
            # journal.
            unfinished = missing(workdir) and any((workdir / JOURNAL).glob("wave-*"))
            if not unfinished:
                return True
    return False


def missing(workdir: Path) -> list[str]:
    """What a complete directory lacks beside its results, which are checked."""
    drawn = [f"{FIGURES}/{name}.png" for name in DRAWN]
    expected = [CHECKPOINT, *drawn, ROUTING, REPORT]
    return [name for name in expected if not (workdir / name).exists()]


def read_summary(workdir: Path) -> dict[str, Any]:
    """Reads ``onset.json`` of a complete sweep, after its results were checked.

    Raises:
      BadInput: it is missing or damaged, or another result is.
    """
    _check_results(workdir, read_manifest(workdir))
    try:
        summary = read_json(workdir / SUMMARY)
        check_shape(summary, {"schema": int})
        if summary["schema"] != SCHEMA:
            raise BadInput(
                f"workdir={workdir}: {SUMMARY} has schema {summary['schema']}, this "
                f"version reads schema {SCHEMA}; run the sweep again elsewhere"
            )
        check_shape(summary, SUMMARY_SHAPE)
    except BadInput:
        raise
    except (ValueError, OSError) as error:
        raise BadInput(f"workdir={workdir}: {SUMMARY} is damaged ({error})") from None
    return summary


def _check_results(workdir: Path, manifest: dict[str, Any]) -> None:
    """Compares the result files with their checksum from the manifest."""
    for name, digest in manifest.get("files", {}).items():
        path = workdir / name
        whole = path.is_file() and looks_whole(path) and checksum(path) == digest
        if not whole:
            raise BadInput(
                f"workdir={workdir}: {name} is damaged or was changed; run the sweep "
                "again in another directory"
            )


def continues(workdir: Path, part: str = "chunk") -> str:
    """What is said where a sweep, or what is done in other parts, ends too early."""
    return (
        f"{workdir} holds everything up to the last {part}, and the same command "
        "continues from there"
    )
