"""RWKV-6 over time, on real text: its learned decay is the brake.

    onset sweep --config=configs/rwkv6.py --workdir=runs/rwkv6
    onset sweep --config=configs/rwkv6.py:full --workdir=runs/rwkv6_full

RESULTS
"""

from ml_collections import ConfigDict

from configs import rwkv4


def get_config(preset: str = "default") -> ConfigDict:
    """The sweep of `rwkv4.py` around RWKV-6."""
    config = rwkv4.get_config(preset)
    config.router = ConfigDict({"name": "rwkv6", "token_shift": True})
    config.sweep.low, config.sweep.high = 0.03, 10.0
    config.train.batch = 8
    if preset == "default":
        config.sweep.num, config.sweep.seeds = 6, 4
        config.train.steps = 1000
    return config
