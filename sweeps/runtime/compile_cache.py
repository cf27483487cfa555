"""Keeps compiled programs between launches, in JAX's own persistent cache.

A second launch of the same sweep, or one that resumes it, reads the programs back
instead of compiling them. Entries are keyed by program, versions and device.
"""

import contextlib
import os
import shutil
from pathlib import Path

import jax

SPARE_BYTES = 100e6
"""Free disk space below which no cache is used."""


def keep_compiled() -> None:
    """Turns the cache on, in `cache_folder`.

    If the user has set ``JAX_COMPILATION_CACHE_DIR``, that directory is used instead.
    If there is no folder, there is no cache, and nothing else changes.
    """
    if jax.config.values["jax_compilation_cache_dir"] is None:
        folder = cache_folder()
        if folder is None:
            return
        jax.config.update("jax_compilation_cache_dir", str(folder))
    # By default, JAX does not keep programs that compile in less than a second.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def cache_folder() -> Path | None:
    """``$XDG_CACHE_HOME/onset`` or ``~/.cache/onset``, created if missing.

    Returns:
      The folder; None if it cannot be written or if its disk is almost full.
    """
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        return None  # there is no home directory
    folder = Path(home) / "onset"
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        return None
    # On a full disk JAX would print a warning for every program it cannot write.
    return folder if shutil.disk_usage(folder).free >= SPARE_BYTES else None
