"""JAX's settings that change the numbers of a sweep, fixed while it runs.

Environment variables set them, perhaps for another program, and neither a config nor
its fingerprint shows them.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax

FIXED: dict[str, Any] = {
    "jax_enable_x64": False,
    "jax_default_prng_impl": "threefry2x32",
    "jax_threefry_partitionable": True,
    "jax_random_seed_offset": 0,
    "jax_numpy_dtype_promotion": "standard",
    "jax_default_matmul_precision": None,
}
"""JAX's own defaults, with which all results in the documentation were computed."""


@contextlib.contextmanager
def fixed_numerics(warn: Callable[[str], None]) -> Iterator[None]:
    """Fixes the settings, and gives back what was set when it ends.

    Args:
      warn: Called with one line if anything else was set.
    """
    given = {name: jax.config.values[name] for name in FIXED}
    changed = {name: v for name, v in given.items() if v != FIXED[name]}
    if changed:
        listed = ", ".join(f"{name.upper()}={v}" for name, v in changed.items())
        warn(f"{listed}: not used, because it would change the results of a sweep")
    for name in changed:
        jax.config.update(name, FIXED[name])
    try:
        yield
    finally:
        for name, value in changed.items():
            jax.config.update(name, value)
