"""Graph attention over nodes: the hop brake against hubs, on a CSBM graph.

    onset sweep --config=configs/graph_attention.py --workdir=runs/gat
    onset sweep --config=configs/graph_attention.py:v2 --workdir=runs/gatv2

Time on 2 CPU cores: 1 minute (GAT). What comes out (GAT, 8 seeds): no hub at a weak
brake (excess 1.5 at 0, untrained null 1.9), collapsed in 2/8 at brake 10 only, so fewer
than half everywhere; held-out loss 3.0 nats at 0, near 0 at brakes .5 to 2. One
more setting was tried (no MLP, embedding sd .5, router sd .3): excess 26 at 0, but
the untrained network has 31 already, so the nulls refuse it (3/8). The search is open.
"""

from ml_collections import ConfigDict

from configs import default


def get_config(preset: str = "v1") -> ConfigDict:
    """GAT (``v1``) or GATv2 (``v2``), three layers, two heads, full batch."""
    if preset not in ("v1", "v2"):
        raise ValueError(f"preset {preset!r}: v1 or v2")
    config = default.get_config()
    config.router = ConfigDict({"name": "graph_attention", "version": preset})
    config.sweep.low, config.sweep.high = 0.1, 10.0
    config.sweep.num, config.sweep.seeds = 7, 8
    config.task.name = "csbm"
    config.model.layers, config.model.width, config.model.heads = 3, 32, 2
    config.model.positions = "none"
    config.train.steps, config.train.batch = 300, 1
    config.train.learning_rate = 5e-3
    config.eval.sequences = 1
    return config
