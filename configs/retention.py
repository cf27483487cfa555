"""Retention over time, on real text: the fixed decay of each head is the brake.

    onset sweep --config=configs/retention.py --workdir=runs/retention
    onset sweep --config=configs/retention.py:full --workdir=runs/retention_full

RESULTS
"""

from ml_collections import ConfigDict

from configs import rwkv4


def get_config(preset: str = "default") -> ConfigDict:
    """The text and triggers of `rwkv4.py`; no output gate and no MLP."""
    config = rwkv4.get_config(preset)
    config.router = ConfigDict({"name": "retention", "gated": False})
    config.sweep.low, config.sweep.high = 0.1, 100.0
    config.model.mlp_ratio = 0
    config.model.init.router = 0.02
    config.train.batch = 8
    config.train.steps = 4000
    if preset == "default":
        config.sweep.num, config.sweep.seeds = 7, 4
    return config
