"""Mamba-1 over time: the brake scales the log-decay.

    onset sweep --config=configs/selective_ssm.py --workdir=runs/selective_ssm

Not yet measured: which part of the signature appears at this size is open.
"""

from ml_collections import ConfigDict

from configs import attention


def get_config(preset: str = "default") -> ConfigDict:
    """The attention sweep's task and sizes around Mamba-1; fewer seeds and values."""
    config = attention.get_config(preset)
    config.router = ConfigDict({"name": "selective_ssm", "gated": True})
    config.sweep.low, config.sweep.high = 0.03, 10.0
    config.train.length = 32
    if preset == "default":
        config.sweep.num, config.sweep.seeds = 6, 4
    return config
