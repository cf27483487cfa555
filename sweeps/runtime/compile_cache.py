"""Compiled programs are kept between launches, in JAX's own persistent cache.

A second launch of the same sweep, and one that goes on after a stop, reads them back
instead of compiling. Entries are keyed by program, versions and device.
"""

import contextlib
import os
import shutil
from pathlib import Path

import jax

SPARE_BYTES = 100e6


def keep_compiled() -> None:
    """Turns the cache on, in ``$XDG_CACHE_HOME/onset`` or ``~/.cache/onset``.

    A directory that the user gave in ``JAX_COMPILATION_CACHE_DIR`` wins. Without one
    that can be written, on a disk with room, there is no cache, and nothing else
    changes.
    """
    if jax.config.values["jax_compilation_cache_dir"] is None:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(home) / "onset"
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            return
        if shutil.disk_usage(folder).free < SPARE_BYTES:
            return  # JAX would warn of every program it cannot write
        jax.config.update("jax_compilation_cache_dir", str(folder))
    # Its defaults leave out programs that compile in less than a second.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
