"""Graph attention over nodes: the hop brake against hubs, on CSBM graphs.

    onset sweep --config=configs/graph_attention.py --workdir=runs/gat
    onset sweep --config=configs/graph_attention.py:v2 --workdir=runs/gatv2
    onset sweep --config=configs/graph_attention.py:dense --workdir=runs/gat_dense
    onset sweep --config=configs/graph_attention.py:full --workdir=runs/gat_full

``v1`` and ``v2`` run GAT and GATv2 on a sparse graph: 600 nodes with about ten
neighbours each, which are all that a node reads. ``dense`` and ``full`` run GAT on 200
nodes with about 60 neighbours, read over two hops.

Wall time on 2 CPU cores: 5 minutes (``v1``) and 3 minutes (``v2``), while other work
ran; 100 s (``dense``).

Result on the sparse graph (GAT, 8 seeds): no hub forms while training works. Up to
brake .95 the largest excess of a node is 2.3, against 5.5 to 6.1 for the untrained
network; at 3, where nodes hardly read their neighbours and the loss is .25 nats, it is
4.5 (untrained 3.8) and 2 of 8 seeds count as collapsed. The rank ratio is .92 to .94
(untrained .92 to .97). The value of the hub is .66 to .94 times the median and drained
in 0 to 4 of 8 seeds. So none of the three parts has an onset. The held-out loss is .046
to .079 nats up to 1.7.

Result on the sparse graph (GATv2, 8 seeds): no hub either: an excess of 2.0 to 2.5 up
to brake 1.7 (untrained 5.2 to 5.6) and 3.5 at 3, where 1 of 8 seeds counts as
collapsed. The rank ratio is .83 to .91, below that of the untrained network (.88 to
.98) but above the threshold, with 1 of 8 seeds below both. The hub's value is .81 to
.94 times the median. The held-out loss is .08 to .13 nats up to 1.7.

Result on the dense graph (GAT, 8 seeds): at a weak brake hubs receive 6 to 13 times
their mass under uniform routing, against an untrained null of 6. Thus 5 or 6 of 8 seeds
collapse up to brake .3, 3/8 at .53 and none from .95 on. The critical brake is .45; its
95 % interval ends at .70 and is open below. The rank ratio is .44 to .58 at every
brake, but .20 for the untrained network, whose scores rank the senders alike for every
query; so it counts as collapsed in at most half of the seeds. The value of the hub is
drained in 3 to 5 of 8 seeds from .3 on (above 1.0; interval .23 to open). The held-out
loss is 3.9 nats at brake 0, .01 at .53 and below .001 beyond: all nodes are within
reach of each other, so without the brake the network memorises the 100 training nodes.
These hubs are thus those of a degenerate task. GATv2 has none there either (1 of 80
members). ``full`` goes on to brake 100, because at 10 hubs were back in 4/4 seeds of
the search, presumably because training raises the scores above the brake.

The router has no keys in the sense needed for a norm.

Search for a graph with structure left (GAT, 4 seeds at brakes 0, .03, .3 and 3; excess
at brake 0 and its largest null; held-out loss in nats at brake 0): the default, 2.2
(4.1), .08; the same over two hops, 2.9 (6.3), .11; twice the neighbours of the own
class and four times those of the other, one hop, 300 steps, 3.2 (7.2), .04. No seed
collapsed in any of them.

Search on the dense graph (4 seeds, 600 steps; seeds collapsed at brakes 0, .1, 1, 10):

- with an MLP, all matrices of standard deviation .1: 0/8 up to brake 5 and 2/8 at 10.
- without it, standard deviation .1: 1/4, 1/4, 0/4, 0/4.
- without it, Glorot's scales: 4/4, 4/4, 0/4, 4/4. This is the default.
- embedding .5 and router .3: an excess of 26, but 31 untrained.
"""

from ml_collections import ConfigDict

from configs import default

PRESETS = ("v1", "v2", "dense", "full")


def get_config(preset: str = "v1") -> ConfigDict:
    """GAT (``v1``) or GATv2 (``v2``) on a sparse graph, or GAT on a dense one.

    ``full`` has more seeds and steps, and a wider range, on the dense graph.
    """
    if preset not in PRESETS:
        raise ValueError(f"preset {preset!r}: must be one of {', '.join(PRESETS)}")
    config = default.get_config()
    version = "v2" if preset == "v2" else "v1"
    config.router = ConfigDict({"name": "graph_attention", "version": version})
    config.sweep.low, config.sweep.high = 0.03, 3.0
    config.sweep.num, config.sweep.seeds = 9, 8
    config.task.name = "csbm"
    if preset in ("v1", "v2"):
        # About ten neighbours, and no node reads further, so that structure is left.
        config.task.nodes, config.task.hops = 600, 1
        config.task.within, config.task.across = 0.03, 0.005
    config.model.layers, config.model.width, config.model.heads = 3, 32, 2
    config.model.positions = "none"
    config.model.mlp_ratio = 0
    config.model.init.embedding = 0.35  # Glorot's scale for its number of features
    config.model.init.router = 0.18  # Glorot's scale for a width of 32
    config.train.steps, config.train.batch = 600, 1
    config.train.learning_rate = 5e-3
    config.eval.sequences = 1
    if preset == "full":
        config.sweep.high = 100.0
        config.sweep.num, config.sweep.seeds = 15, 16
        config.train.steps = 1200
    return config
