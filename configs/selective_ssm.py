"""Mamba-1 over time, on real text: the brake scales the log-decay.

    onset sweep --config=configs/selective_ssm.py --workdir=runs/selective_ssm
    onset sweep --config=configs/selective_ssm.py:full --workdir=runs/selective_full

RESULTS
"""

from ml_collections import ConfigDict

from configs import rwkv6


def get_config(preset: str = "default") -> ConfigDict:
    """The sweep of `rwkv6.py` around Mamba-1 with a state of 4."""
    config = rwkv6.get_config(preset)
    config.router = ConfigDict({"name": "selective_ssm", "gated": True, "state": 4})
    return config
