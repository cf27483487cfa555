"""Hyper-connections: the negative control, in which hubs cannot form.

    onset sweep --config=configs/hyper_connections.py --workdir=runs/streams

RESULTS
"""

from ml_collections import ConfigDict

from configs import depth_attention


def get_config(preset: str = "default") -> ConfigDict:
    """The depth sweep with four streams under a doubly stochastic mixing."""
    config = depth_attention.get_config(preset)
    config.depth.name = "hyper_connections"
    config.model.layers = 2
    config.sweep.num, config.sweep.seeds = 6, 8
    if preset == "full":
        config.sweep.num, config.sweep.seeds = 12, 16
    return config
