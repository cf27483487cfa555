"""Retention over time, on real text: the fixed decay of each head is the brake.

    onset sweep --config=configs/retention.py --workdir=runs/retention
    onset sweep --config=configs/retention.py:full --workdir=runs/retention_full

Time on 2 CPU cores: 105 s. What comes out (4 seeds, no output gate, no rotation):
hub mass .34 at brake 0 (nulls .17), collapsed in 4/4 seeds up to .32, in 1/4 at the
published decay (1) and in none beyond: critical brake .76, 95 % interval .32 to 2.3.
The onset comes late, at step 1600 to 2400. Key norms stratify up to brake 10 (sd/mean
.38 at 0 against .11 untrained); the effective rank (5.7 to 6.5) is never below its
nulls. Held-out loss 1.416 to 1.445 nats. No strong case: at a threshold of .4 in place
of .3 there is no collapse.

Search (3 or 4 seeds; hub mass at brakes 0, .03, 3): with its output gate, 600 steps:
.15, .14, .10; without, 800 steps: .26, .26, .15; 2000 steps: .30 at 0 (1/4 collapsed);
4000 steps is the default.
"""

from ml_collections import ConfigDict

from configs import rwkv4


def get_config(preset: str = "default") -> ConfigDict:
    """The text and triggers of `rwkv4.py`; no output gate and no MLP."""
    config = rwkv4.get_config(preset)
    config.router = ConfigDict({"name": "retention", "gated": False})
    config.sweep.low, config.sweep.high = 0.1, 100.0
    config.model.mlp_ratio = 0
    config.model.init.router = 0.02
    config.train.batch = 8
    config.train.steps = 4000
    if preset == "default":
        config.sweep.num, config.sweep.seeds = 7, 4
    return config
