"""RWKV-4 over time: its carry is the brake.

    onset sweep --config=configs/rwkv4.py --workdir=runs/rwkv4

Not yet searched: which part of the signature appears at this size is open.
"""

from ml_collections import ConfigDict

from configs import attention


def get_config(preset: str = "default") -> ConfigDict:
    """The attention sweep's task and sizes around RWKV-4; fewer seeds and values."""
    config = attention.get_config(preset)
    config.router = ConfigDict({"name": "rwkv4", "token_shift": True})
    config.sweep.low, config.sweep.high = 0.03, 10.0
    config.train.length = 32
    if preset == "default":
        config.sweep.num, config.sweep.seeds = 6, 4
    return config
