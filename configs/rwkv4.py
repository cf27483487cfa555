"""RWKV-4 over time, on real text: its carry is the brake.

    onset sweep --config=configs/rwkv4.py --workdir=runs/rwkv4
    onset sweep --config=configs/rwkv4.py:full --workdir=runs/rwkv4_full

Time on 2 CPU cores: 3 minutes. What comes out (8 seeds): hub mass .40 at brake 0
(nulls .15), 6/8 seeds collapsed up to brake .003, 1/8 at .0095 and none beyond:
critical brake .0065, 95 % interval up to .0095 and open below, where 6 of 8 do not
exclude one half. The published carry (brake 1) lies far beyond. The onset comes late,
at step 900 to 1050. The effective rank (7.3) is never below its null of 4.8 and a key
is one number a channel, so there are no key norms. Held-out loss 1.411 to 1.413 nats
at every brake. No strong case: at a threshold of .4 in place of .3 there is no value
at which most seeds collapse.

Search (4 seeds; collapsed at brakes 0, then in brackets others; 1500 steps): random
table, trigger mass .4, MLP, matrices sd .1: 4/4 (0/4 from .03 on); random table,
trigger mass .6, no MLP, matrices .02: 0/4, hub mass .17; real text with its natural
triggers, no MLP: 0/4, .17; real text, trigger mass .6, MLP, matrices .1: 3/4 (3/4 at
.001, 1/4 at .01, 0/4 at .1), the default.
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
