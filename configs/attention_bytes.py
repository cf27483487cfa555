"""Attention on next-byte text: the distance brake, on a real text read byte by byte.

    onset sweep --config=configs/attention_bytes.py --workdir=runs/bytes

``task.text`` is a file, ``pydoc_data.topics`` (the default) or ``tfds:NAME``. TFDS
keeps its records in ``task.data_dir``, by default ``~/tensorflow_datasets``.

Only a smoke run was made: 2 seeds at each of brakes 0, .03, .17 and 1, 600 steps, 80 s
on 2 CPU cores while other work ran. No member collapsed: hub mass .06 to .07 against a
null of .07, held-out loss from 2.19 (brake 0) to 2.12 nats per byte (brake 1), still
falling. Which sizes and lengths of training bring an onset here is open.
"""

from ml_collections import ConfigDict

from configs import attention


def get_config(preset: str = "default") -> ConfigDict:
    """`attention.py` with the bytes of the text itself in place of its bigrams."""
    config = attention.get_config(preset)
    config.task.name = "bytes"
    return config
