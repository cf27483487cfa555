"""Graph attention on real data: handwritten digits as a nearest-neighbour graph.

    onset sweep --config=configs/graph_digits.py --workdir=runs/digits
    onset sweep --config=configs/graph_digits.py:v2 --workdir=runs/digits_v2

Needs scikit-learn (``pip install 'router-sweeps[graphs]'``).

Time on 2 CPU cores: 26 s (``v1``), 63 s (``v2``). What comes out (GAT, 8 seeds): hubs
of 5.7 to 8.4 times an even share (nulls 1.7 to 2.3) in 7 or 8 of 8 seeds up to brake 10
and none from 31 on: critical brake 16, 95 % interval 9.8 to 31. They form within 60
steps, at 10 within 180. The effective rank (13 to 15) stays above its nulls. The brake
has a price: held-out loss .15 to .18 nats up to 3, .32 at 10 and .36 beyond. GATv2 has
hubs too, unlike on CSBM: 6 to 8 of 8 seeds up to 10, critical brake 14 (7.1 to 31).

Search (2 seeds, the range of `graph_attention.py`): hubs at every brake up to 3, so the
range was moved; 300 steps instead of 200 did not matter.
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
    config.sweep.num = 6
    config.model.init.embedding = 0.125  # Glorot's, for 64 features
    config.train.steps = 200
    config.eval.diagnosed = 0  # singular values of 600 x 600 routings take minutes
    return config
