"""Attention on next-byte text.

onset sweep --config=configs/attention_bytes.py --workdir=runs/bytes
"""

from ml_collections import ConfigDict

from configs import attention


def get_config(preset: str = "default") -> ConfigDict:
    """`attention.py` with the bytes of the text itself in place of its bigrams."""
    config = attention.get_config(preset)
    config.task.name = "bytes"
    return config
