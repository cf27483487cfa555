"""Hyper-connections: the negative control, in which hubs cannot form.

    onset sweep --config=configs/hyper_connections.py --workdir=runs/streams

What must come out: an excess of 1 at every brake, since columns sum to 1 exactly.
"""

from ml_collections import ConfigDict

from configs import depth_attention


def get_config() -> ConfigDict:
    """The depth sweep with four streams under a doubly stochastic mixing."""
    config = depth_attention.get_config()
    config.depth.name = "hyper_connections"
    config.model.layers = 2
    return config
