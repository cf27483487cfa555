"""RWKV-4 over time, on real text: its carry is the brake.

    onset sweep --config=configs/rwkv4.py --workdir=runs/rwkv4
    onset sweep --config=configs/rwkv4.py:full --workdir=runs/rwkv4_full

RESULTS
"""

from ml_collections import ConfigDict

from configs import attention


def get_config(preset: str = "default") -> ConfigDict:
    """Text statistics with triggers of mass .6; ``full`` has more of everything."""
    config = attention.get_config(preset)
    config.router = ConfigDict({"name": "rwkv4", "token_shift": True})
    config.sweep.low, config.sweep.high = 3e-4, 0.3
    config.sweep.num, config.sweep.seeds = 7, 8
    config.task.trigger_mass = 0.6
    config.model.mlp_ratio = 4
    config.model.init.router = 0.1
    config.train.length = 32
    config.train.steps = 1500
    if preset == "full":
        config.sweep.num, config.sweep.seeds = 12, 12
        config.train.steps = 2000
    return config
