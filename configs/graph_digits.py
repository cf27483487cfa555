"""Graph attention on real data: handwritten digits as a nearest-neighbour graph.

    onset sweep --config=configs/graph_digits.py --workdir=runs/digits

Needs scikit-learn (``pip install 'router-sweeps[graphs]'``).

RESULTS
"""

from ml_collections import ConfigDict

from configs import graph_attention


def get_config(preset: str = "v1") -> ConfigDict:
    """The graph sweep's sizes on 600 digits, each with its 8 nearest neighbours."""
    config = graph_attention.get_config(preset)
    config.task.name = "digits"
    config.task.nodes = 600
    config.task.hops = 1
    config.sweep.low, config.sweep.high = 0.3, 100.0
    config.sweep.num, config.sweep.seeds = 6, 4
    config.model.init.embedding = 0.125  # Glorot's, for 64 features
    config.train.steps = 200
    config.eval.diagnosed = 0  # singular values of 600 x 600 routings take minutes
    return config
