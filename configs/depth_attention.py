"""Attention residuals over depth: the depth brake against hubs among sublayers.

    onset sweep --config=configs/depth_attention.py --workdir=runs/depth

Not yet measured: which part of the signature appears at this size is open.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """Six layers on Bigram-Backcopy (random table), all sublayer outputs as sources."""
    config = default.get_config()
    config.depth.name = "depth_attention"
    config.sweep.knob = "depth.brake"
    config.sweep.low, config.sweep.high = 0.1, 10.0
    config.sweep.num, config.sweep.seeds = 6, 4
    config.task.trigger_mass = 0.4
    config.model.layers = 6
    config.train.length, config.train.steps = 32, 400
    config.train.learning_rate = 2e-3
    config.eval.sequences = 16
    return config
