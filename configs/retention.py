"""Retention over time, on real text: the fixed decay of each head is the brake.

    onset sweep --config=configs/retention.py --workdir=runs/retention
    onset sweep --config=configs/retention.py:full --workdir=runs/retention_full

Wall time on 2 CPU cores: 105 s.

Result (4 seeds, no output gate, no rotation): the hub mass is .34 at brake 0 (nulls
.17). Up to brake .32 all 4 seeds collapse, at the published decay (1) it is 1/4, and
beyond none. The critical brake is .76, with a 95 % interval of .32 to 2.3. The onset
comes late, at step 1600 to 2400. The rank ratio is .31 at 0 (nulls .69), .43 at 3.2,
.58 at 10 (null 1.0) and 1.2 from 32 on; its critical brake is 18 (10 to 32), far above
that of concentration. The hub's key is 1.9 times as long as the median up to 10, its
value up to 7 times, so it is not drained; stratification ends at 13 (4.4 to 32). The
held-out loss is 1.416 to 1.445 nats. The case is not a strong one: at a threshold of .4
instead of .3 there is no collapse.

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
