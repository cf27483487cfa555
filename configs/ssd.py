"""Mamba-2 (SSD) over time, on real text: the brake scales the log-decay.

    onset sweep --config=configs/ssd.py --workdir=runs/ssd
    onset sweep --config=configs/ssd.py:full --workdir=runs/ssd_full

RESULTS
"""

from ml_collections import ConfigDict

from configs import rwkv6


def get_config(preset: str = "default") -> ConfigDict:
    """The sweep of `rwkv6.py` around Mamba-2 with a state of 8."""
    config = rwkv6.get_config(preset)
    config.router = ConfigDict({"name": "ssd", "state": 8})
    return config
