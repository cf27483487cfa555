"""Attention residuals over depth: the depth brake against hubs among sublayers.

    onset sweep --config=configs/depth_attention.py --workdir=runs/depth
    onset sweep --config=configs/depth_attention.py:full --workdir=runs/depth_full

RESULTS
"""

from ml_collections import ConfigDict

from configs import default


def get_config(preset: str = "default") -> ConfigDict:
    """Six layers on Bigram-Backcopy (random table), all sublayer outputs as sources."""
    config = default.get_config()
    config.depth.name = "depth_attention"
    config.sweep.knob = "depth.brake"
    config.sweep.low, config.sweep.high = 0.03, 3.0
    config.sweep.num, config.sweep.seeds = 6, 4
    config.task.trigger_mass = 0.4
    config.model.layers = 6
    config.train.length, config.train.batch = 32, 8
    config.train.steps = 800
    config.train.learning_rate = 2e-3
    config.eval.points, config.eval.sequences = 8, 16
    if preset == "full":
        config.sweep.num, config.sweep.seeds = 9, 8
        config.train.steps = 1600
    elif preset != "default":
        raise ValueError(f"preset {preset!r}: default or full")
    return config
