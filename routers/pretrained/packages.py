"""The packages of the extra ``pretrained``, imported where they are needed."""

import importlib
from typing import Any


def optional(name: str) -> Any:
    """An optional package; ImportError in one line that says how to install it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ImportError(
            f"the package {name} is not installed: pip install "
            "'router-sweeps[pretrained]'"
        ) from None
