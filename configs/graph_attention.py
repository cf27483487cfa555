"""Graph attention over nodes: the hop brake against hubs, on a CSBM graph.

    onset sweep --config=configs/graph_attention.py --workdir=runs/gat
    onset sweep --config=configs/graph_attention.py:v2 --workdir=runs/gatv2
    onset sweep --config=configs/graph_attention.py:full --workdir=runs/gat_full

RESULTS
"""

from ml_collections import ConfigDict

from configs import default

PRESETS = ("v1", "v2", "full")


def get_config(preset: str = "v1") -> ConfigDict:
    """GAT (``v1``), GATv2 (``v2``), or GAT over a wider range (``full``)."""
    if preset not in PRESETS:
        raise ValueError(f"preset {preset!r}: one of {', '.join(PRESETS)}")
    config = default.get_config()
    version = "v2" if preset == "v2" else "v1"
    config.router = ConfigDict({"name": "graph_attention", "version": version})
    config.sweep.low, config.sweep.high = 0.03, 3.0
    config.sweep.num, config.sweep.seeds = 9, 8
    config.task.name = "csbm"
    config.model.layers, config.model.width, config.model.heads = 3, 32, 2
    config.model.positions = "none"
    config.model.mlp_ratio = 0
    config.model.init.embedding = 0.35  # Glorot's, for 8 features ...
    config.model.init.router = 0.18  # ... and for a width of 32
    config.train.steps, config.train.batch = 600, 1
    config.train.learning_rate = 5e-3
    config.eval.sequences = 1
    if preset == "full":
        config.sweep.high = 100.0
        config.sweep.num, config.sweep.seeds = 15, 16
        config.train.steps = 1200
    return config
