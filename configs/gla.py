"""Gated linear attention over time, on real text: its learned decay is the brake.

    onset sweep --config=configs/gla.py --workdir=runs/gla
    onset sweep --config=configs/gla.py:full --workdir=runs/gla_full

Wall time on 2 CPU cores: not taken on an idle machine; at its start the sweep expects 5
minutes.

Result (8 seeds, no output gate): hubs form at weak and at published brakes, and less
often without any or at strong ones: 3/8 at brake 0 (hub mass .28), 8/8 from .01 to .1
(.43 to .44 against nulls of .18), then 7, 6 and 5 of 8 at .32, 1 and 3.2 and 3/8 at 10
(.23). The critical brake is 5.4, with a 95 % interval from .48, open above. Without
decay, training goes worse (held-out loss 1.49 against 1.40 nats).

The other two parts (8 seeds) are there at nearly every brake and have no clear onset.
The rank ratio is .40 at brake 0 and .64 to .76 elsewhere. Its lowest null, the
untrained network, rises from .67 to 1.1, so that 8/8 are collapsed at 0, 2/8 to 5/8
from .01 to 1 and 8/8 and 6/8 beyond: a rising onset at .18, open below, that is one of
the null. The hub's key is 1.5 to 2.1 times as long as the median (untrained at most
1.2), which is stratified in 4/8 at brake 0 to 8/8 at 3.2; its value is 4 to 9 times as
long, so nothing is drained. In training, at brake .01, the rank ratio comes first (400
steps, median over seeds), then stratification (800), then concentration (1200).

The case is a moderate one: at a threshold of .4 instead of .3 the critical brake is 3.0
(.39 to open), and at .5 no seed collapses.

Search (3 or 4 seeds; hub mass at brakes 0, .03 and 3):

- with the output gate, 600 steps: .17, .19, .11.
- without it, 800 steps: .20, .29, .13. This is the default, after 2000 steps.
- without it but with an MLP, matrices of standard deviation .1, 1000 steps: .13, .13,
  .09.
"""

from ml_collections import ConfigDict

from configs import default


def get_config(preset: str = "default") -> ConfigDict:
    """One layer of gated linear attention without output gate and MLP, on real text."""
    if preset not in ("default", "full"):
        raise ValueError(f"preset {preset!r}: must be default or full")
    config = default.get_config()
    config.router = ConfigDict({"name": "gla", "gated": False})
    config.sweep.low, config.sweep.high = 0.01, 10.0
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
