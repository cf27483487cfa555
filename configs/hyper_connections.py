"""Hyper-connections: the negative control, in which hubs cannot form.

    onset sweep --config=configs/hyper_connections.py --workdir=runs/streams

Wall time on 2 CPU cores: 84 s, while other work ran.

Result (8 seeds): no hub forms at any brake, as it must be: 0/8 everywhere. The largest
excess of a stream is 1.00, as in the nulls; after twice the steps it is 1.01 at brake
3, where 20 rounds of normalisation leave a small remainder. The rank ratio is not
defined for streams, which start as copies of one state, and there are no keys. The
held-out loss is 2.13 to 2.14 nats at every brake.
"""

from ml_collections import ConfigDict

from configs import default


def get_config(preset: str = "default") -> ConfigDict:
    """Two layers with four streams under a doubly stochastic mixing, random table."""
    if preset not in ("default", "full"):
        raise ValueError(f"preset {preset!r}: must be default or full")
    config = default.get_config()
    config.depth.name = "hyper_connections"
    config.sweep.knob = "depth.brake"
    config.sweep.low, config.sweep.high = 0.03, 3.0
    config.sweep.num, config.sweep.seeds = 6, 8
    config.task.trigger_mass = 0.4
    config.model.layers = 2
    config.train.length, config.train.batch = 32, 8
    config.train.steps = 400
    config.train.learning_rate = 2e-3
    config.eval.points, config.eval.sequences = 8, 16
    if preset == "full":
        config.sweep.num, config.sweep.seeds = 9, 8
        config.train.steps = 1600
    return config
