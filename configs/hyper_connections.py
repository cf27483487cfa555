"""Hyper-connections: the negative control, in which hubs cannot form.

    onset sweep --config=configs/hyper_connections.py --workdir=runs/streams

Time on 2 CPU cores: 9 minutes for 8 seeds x 800 steps, while other work ran; the
default has half of both. What came out (8 seeds): no hub at any brake, as it must be:
0/8 everywhere, the largest excess of a stream 1.00 (1.01 at brake 3, where 20 rounds of
normalisation leave a little), nulls 1.00. The effective rank is 15 (its nulls 7);
there are no keys. Held-out loss 1.933 to 1.940 nats at every brake.
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
