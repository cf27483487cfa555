"""Retention over time, on real text: the fixed decay of each head is the brake.

    onset sweep --config=configs/retention.py --workdir=runs/retention
    onset sweep --config=configs/retention.py:full --workdir=runs/retention_full

Wall time on 2 CPU cores: 105 s with four seeds; not taken with eight.

Result (8 seeds, no output gate, no rotation): the hub mass is .33 at brake 0 (nulls
.17). 6/8, 5/8 and 5/8 seeds collapse at brakes 0, .1 and .32, at the published decay
(1) it is 2/8, and beyond none. The critical brake is .72, with a 95 % interval that is
open below and ends at 1.4. Hub mass still rises by .002 per 100 steps at weak brakes.
The held-out loss is 1.417 to 1.468 nats.

The other two parts (8 seeds) reach much further. The rank ratio is .33 at 0 (lowest
null .69), .43 at 3.2, .59 at 10 (.92) and 1.2 from 32 on; its critical brake is 18 (10
to 32), at least ten times that of concentration in the median seed. The hub's key is
1.7 to 1.8 times as long as the median up to 10 (untrained at most 1.26) and ordinary
beyond; stratification ends at 9.8 (1.2 to 32). The hub's value is 3 to 6 times as long
as the median, so it is not drained.

The case is not a strong one: at a threshold of .4 instead of .3 there is no collapse.

Search (3 or 4 seeds; hub mass at brakes 0, .03 and 3):

- with the output gate, 600 steps: .15, .14, .10.
- without it, 800 steps: .26, .26, .15.
- without it, 2000 steps: .30 at brake 0 (1/4 collapsed). The default is 4000 steps.
"""

from ml_collections import ConfigDict

from configs import default


def get_config(preset: str = "default") -> ConfigDict:
    """One layer of retention without output gate and MLP, on real text."""
    if preset not in ("default", "full"):
        raise ValueError(f"preset {preset!r}: must be default or full")
    config = default.get_config()
    config.router = ConfigDict({"name": "retention", "gated": False})
    config.sweep.low, config.sweep.high = 0.1, 100.0
    config.sweep.num, config.sweep.seeds = 7, 8
    config.task.text = "pydoc_data.topics"
    config.task.trigger_mass = 0.6
    config.model.mlp_ratio = 0
    config.model.init.router = 0.02
    config.train.length, config.train.batch = 32, 8
    config.train.steps = 4000
    if preset == "full":
        config.sweep.num, config.sweep.seeds = 12, 12
    return config
