"""Mamba-1 over time, on real text: the brake scales the log-decay.

    onset sweep --config=configs/selective_ssm.py --workdir=runs/selective_ssm
    onset sweep --config=configs/selective_ssm.py:full --workdir=runs/selective_full

Wall time on 2 CPU cores: 2 minutes, while other work ran.

Result (8 seeds): no part of the signature has an onset. The hub mass is .13 at brake 0
and .09 at 10, below its nulls (.16 and .13), so training does not concentrate the
routing, and no single channel has a hub either: the largest has .13 to .14 (nulls .16
to .17), and none is a sink. The rank ratio rises from .64 at brake 0 to 1.06 at 10, but
the untrained network has .56 to 1.0 (.01 quantile) there: a decaying state shares
sources before any training. At most 1 of 8 seeds counts as collapsed. The value of the
hub is .78 to .96 times the median (untrained down to .44), and there are no keys. The
held-out loss is 1.436 to 1.438 nats: the network hardly needs what the brake takes
away, because the convolution already sees the copied symbol and gates can silence the
state. Claims about Mamba are not shown at this size.

Search (3 or 4 seeds at brakes 0, .03, 3 and more). The figure is the largest hub mass
of any seed; the uniform null is .13. Networks have an MLP and data are real text unless
stated otherwise; a random table has a trigger mass of .4.

- state 16, gated, natural triggers, no MLP, batch 16, 500 steps: .14.
- state 4, **ungated**, random table, 800 steps: .16. With every channel as a group of
  its own, so that no average hides a channel's hub: .21 (untrained .14).
- ungated, no convolution, no MLP, channels apart, 800 steps: .19, with a loss of 2.22
  nats, so it does not learn to copy.
- gated, two layers, no MLP, channels apart, 800 steps: .15.

Not examined: concentration of Delta itself, larger networks, longer training.
"""

from ml_collections import ConfigDict

from configs import default


def get_config(preset: str = "default") -> ConfigDict:
    """One gated Mamba-1 layer with a state of 4 and an MLP, on real text."""
    if preset not in ("default", "full"):
        raise ValueError(f"preset {preset!r}: must be default or full")
    config = default.get_config()
    config.router = ConfigDict({"name": "selective_ssm", "gated": True, "state": 4})
    config.sweep.low, config.sweep.high = 0.03, 10.0
    config.sweep.num, config.sweep.seeds = 6, 8
    config.task.text = "pydoc_data.topics"
    config.task.trigger_mass = 0.6
    config.model.mlp_ratio = 4
    config.model.init.router = 0.1
    config.train.length, config.train.batch = 32, 8
    config.train.steps = 1000
    if preset == "full":
        config.sweep.num, config.sweep.seeds = 12, 12
        config.train.steps = 2000
    return config
