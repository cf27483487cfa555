"""Attention on a random bigram table: the other form of Bigram-Backcopy.

    onset sweep --config=configs/attention_dirichlet.py --workdir=runs/dirichlet

Wall time on 2 CPU cores: 122 s.

Result (8 seeds): up to brake .31 all 8 seeds collapse, with a hub mass of .70 (nulls
.07); at .46 it is 1/8, and beyond none. The critical brake is .42, with a 95 % interval
of .31 to .46. The rank ratio is .65 to .69 up to .31 and 1.15 at .46 (critical brake
.38, .31 to .46); the hub's key is 2.3 to 2.8 times as long as the median and its value
.2 to .27 times up to .31 (stratification ends at .49, .41 to .68). Whether the three
coincide is undecided. The held-out loss is 1.990 to 2.008 nats.
"""

from ml_collections import ConfigDict

from configs import default


def get_config(preset: str = "default") -> ConfigDict:
    """One attention layer on Dirichlet rows in which triggers have a mass of .4."""
    if preset not in ("default", "full"):
        raise ValueError(f"preset {preset!r}: must be default or full")
    config = default.get_config()
    config.sweep.low, config.sweep.high = 0.03, 1.0
    config.sweep.num = 10
    config.task.trigger_mass = 0.4
    config.model.mlp_ratio = 0
    config.model.init.router = 0.02
    config.train.steps = 600
    if preset == "full":
        config.sweep.num, config.sweep.seeds = 16, 16
        config.train.steps = 1200
    return config
