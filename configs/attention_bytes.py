"""Attention on next-byte text: the distance brake, on a real text read byte by byte.

    onset sweep --config=configs/attention_bytes.py --workdir=runs/bytes

``task.text`` is a file, ``pydoc_data.topics`` (the default) or ``tfds:NAME``. TFDS
keeps its records in ``task.data_dir``, by default ``~/tensorflow_datasets``.

Time on 2 CPU cores: 3.5 minutes, while other work ran. What comes out (8 seeds): no
collapse at any brake: hub mass .07 at 0 and .05 to .06 from .1 on, its nulls .07. Key
norms stratify at every brake (sd/mean .15 to .34 against .11 untrained); the effective
rank (17) stays above its nulls (3). Held-out loss falls from 2.25 nats per byte at
brake 0 to 2.16 at 1, and was still falling: after 600 steps the router has use for
every position and parks nothing. No other size or length of training was tried.
"""

from ml_collections import ConfigDict

from configs import attention


def get_config(preset: str = "default") -> ConfigDict:
    """`attention.py` with the bytes of the text itself in place of its bigrams."""
    config = attention.get_config(preset)
    config.task.name = "bytes"
    return config
