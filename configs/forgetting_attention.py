"""Forgetting attention over tokens, on real text: the learned forget gate is the brake.

    onset sweep --config=configs/forgetting_attention.py --workdir=runs/fox
    onset sweep --config=configs/forgetting_attention.py:full --workdir=runs/fox_full

RESULTS
"""

from ml_collections import ConfigDict

from configs import attention


def get_config(preset: str = "default") -> ConfigDict:
    """The attention sweep around forgetting attention, at half its length."""
    config = attention.get_config(preset)
    config.router = ConfigDict({"name": "forgetting_attention"})
    config.sweep.low, config.sweep.high = 0.03, 3.0
    config.sweep.num = 9
    config.train.length = 32
    if preset == "full":
        config.sweep.num = 16
    return config
