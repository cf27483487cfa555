"""Hyper-connections: the negative control, in which hubs cannot form.

    onset sweep --config=configs/hyper_connections.py --workdir=runs/streams

Time on 2 CPU cores: 64 s. What comes out (4 seeds, and 8 seeds with twice the steps):
no hub at any brake, as it must be: 0/4 and 0/8 everywhere, the largest excess of a
stream 1.00 (after 800 steps 1.01 at brake 3, where 20 rounds of normalisation leave a
little), nulls 1.00. The effective rank is 13 to 15; there are no keys. Held-out loss
2.387 to 2.414 nats (1.933 to 1.940) at every brake.
"""

from ml_collections import ConfigDict

from configs import depth_attention


def get_config(preset: str = "default") -> ConfigDict:
    """The depth sweep with four streams under a doubly stochastic mixing."""
    config = depth_attention.get_config(preset)
    config.depth.name = "hyper_connections"
    config.model.layers = 2
    if preset == "default":
        config.train.steps = 400
    return config
