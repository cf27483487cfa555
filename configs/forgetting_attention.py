"""Forgetting attention over tokens, on real text: the learned forget gate is the brake.

    onset sweep --config=configs/forgetting_attention.py --workdir=runs/fox
    onset sweep --config=configs/forgetting_attention.py:full --workdir=runs/fox_full

Wall time on 2 CPU cores: 2 minutes.

Result (8 seeds): routing concentrates, with a hub mass of .67 at brake 0 (nulls .13).
Up to brake .053 all 8 seeds collapse; then 7/8 at .095, 3/8 at .17, 1/8 at .3 and none
beyond. The critical brake is .14, with a 95 % interval of .095 to .27, so the published
gate (brake 1) prevents hubs. The onset comes at step 120 at brake 0 and at step 180
from .03 on. The rank ratio is .65 at 0 (nulls .99), .84 at .095 and 1.2 from .17 on;
its critical brake is .088 (.053 to .17). The hub's key is 1.8 to 2 times as long as the
median up to .095, its value .36 to .45 times; stratification ends at .15 (.095 to .27).
Whether the three coincide is undecided. The held-out loss is 1.702 to 1.722 nats.

Search: the recipe is that of `attention.py` at T = 32, the first one tried.
"""

from ml_collections import ConfigDict

from configs import default


def get_config(preset: str = "default") -> ConfigDict:
    """One layer of forgetting attention on real text, at a length of 32."""
    if preset not in ("default", "full"):
        raise ValueError(f"preset {preset!r}: must be default or full")
    config = default.get_config()
    config.router = ConfigDict({"name": "forgetting_attention"})
    config.sweep.low, config.sweep.high = 0.03, 3.0
    config.sweep.num = 9
    config.task.text = "pydoc_data.topics"
    config.task.trigger_mass = 0.0
    config.model.mlp_ratio = 0
    config.model.init.router = 0.02
    config.train.length = 32
    config.train.steps = 600
    if preset == "full":
        config.sweep.num, config.sweep.seeds = 16, 16
        config.train.steps = 1200
    return config
