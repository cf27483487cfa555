"""Gated linear attention over time, on real text: its learned decay is the brake.

    onset sweep --config=configs/gla.py --workdir=runs/gla
    onset sweep --config=configs/gla.py:full --workdir=runs/gla_full

Time on 2 CPU cores: 4.5 minutes, while other work ran. What comes out (4 seeds, no
output gate): hubs at weak and at published brakes but not without any: 0/4 at 0 (hub
mass .25), 3 or 4 of 4 from .01 to 1 (.34 to .38 against nulls of .16 to .18), 2/4 at
3.2, 0/4 at 10: critical brake 3.0, 95 % interval .45 to 10; the onset comes after 400
to 1000 steps. Without decay training is worse (held-out loss 1.61 against 1.40 nats).
Key norms stratify at every brake (sd/mean .22 to .50 against .11 untrained); the
effective rank (4.6 to 7.2) is never below its nulls. A strong case it is not: at a
threshold of .4 in place of .3 there is no collapse.

Search (3 or 4 seeds; hub mass at brakes 0, .03, 3): with its output gate, 600 steps:
.17, .19, .11; without, 800 steps: .20, .29, .13, the default after 2000; without a gate
but with an MLP, matrices sd .1, 1000 steps: .13, .13, .09.
"""

from ml_collections import ConfigDict

from configs import retention


def get_config(preset: str = "default") -> ConfigDict:
    """`retention.py` with gated linear attention, likewise without an output gate."""
    config = retention.get_config(preset)
    config.router = ConfigDict({"name": "gla", "gated": False})
    config.sweep.low, config.sweep.high = 0.01, 10.0
    return config
