"""Attention over tokens: the distance brake against the attention sink, on real text.

onset sweep --config=configs/attention.py --workdir=runs/attention
onset sweep --config=configs/attention.py:full --workdir=runs/attention_full
"""

from ml_collections import ConfigDict

from configs import default


def get_config(preset: str = "default") -> ConfigDict:
    """The default sweep, or ``full``: more seeds, values and steps."""
    config = default.get_config()
    config.sweep.low = 0.03
    config.sweep.high = 1.0
    config.sweep.num = 10
    config.task.text = "pydoc_data.topics"
    config.task.trigger_mass = 0.0
    config.model.mlp_ratio = 0
    config.model.init.router = 0.02
    config.train.steps = 600
    if preset == "full":
        config.sweep.seeds = 16
        config.sweep.num = 16
        config.train.steps = 1500
    elif preset != "default":
        raise ValueError(f"preset {preset!r}: default or full")
    return config
