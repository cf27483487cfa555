"""Every key of a sweep, with its meaning. Other files import this one and override.

Command: onset sweep --config=configs/NAME.py --workdir=DIR [--config.KEY=VALUE ...]
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def get_config() -> ConfigDict:
    """The shared defaults; a run of their own they are not, see `attention.py`."""
    config = ConfigDict()
    config.seed = 0  # root of the three streams: initialisation, data, evaluation

    config.sweep = sweep = ConfigDict()
    sweep.knob = "token.brake"  # the axis: any knob of the router, named by slot
    sweep.low = 0.03  # least positive value of the axis
    sweep.high = 3.0  # greatest
    sweep.num = 9  # values from low to high, evenly spaced in the logarithm
    sweep.zero = True  # adds the value 0, reported as an asymptote, never fitted
    sweep.seeds = 8  # initialisations per value; the same ones at every value
    sweep.data_seeds = 1  # data streams; every initialisation is trained on each
    sweep.devices = 0  # host devices that share the members; 0 is one per core
    sweep.data = 1  # devices that share every batch of a member; 1: each its own
    sweep.width = 0  # members a device computes at once (vmap); 0: chosen, by timing

    # More values inside the onset's interval, round by round, on the same seeds.
    sweep.refine = refine = ConfigDict()
    refine.rounds = 0  # at most; 0 trains the values above and no others
    refine.num = 5  # new ones a round, and values trained at once in every turn
    refine.width = 0.05  # ln(high / low) of the interval at which to stop

    # What mixes positions. Other routers have other keys here: a config replaces the
    # block, and the router's own dataclass of settings says what they mean.
    config.router = router = ConfigDict()
    router.name = "attention"  # see routers.ROUTERS
    router.slopes = "uniform"  # distance slopes per head: uniform or alibi
    router.rotary = False  # rotate queries and keys by position (RoPE)

    # What replaces the residual sum; "" keeps the sum.
    config.depth = depth = ConfigDict()
    depth.name = ""  # depth_attention or hyper_connections
    depth.block = 1  # sublayers whose sum is one source of depth_attention
    depth.distance = "steps"  # between its sources: steps or last
    depth.streams = 4  # of hyper_connections

    # Fixed values of the knobs that are not swept; None is the router's neutral one.
    config.knobs = knobs = ConfigDict()
    knobs.token = ConfigDict()
    knobs.token.brake = placeholder(float)
    knobs.token.content = placeholder(float)
    knobs.token.norm_awareness = placeholder(float)
    knobs.token.key_normalization = placeholder(float)
    knobs.token.null_sink = placeholder(float)
    knobs.token.selectivity = placeholder(float)
    knobs.depth = ConfigDict()
    knobs.depth.brake = placeholder(float)
    knobs.depth.content = placeholder(float)
    knobs.depth.key_normalization = placeholder(float)
    knobs.depth.null_sink = placeholder(float)

    config.model = model = ConfigDict()
    model.layers = 1
    model.width = 64
    model.heads = 1  # must divide the width
    model.mlp_ratio = 4  # hidden width of the MLP over the width; 0: no MLP
    model.positions = "learned"  # added to the embedding: learned or none
    model.dtype = "float32"  # of matrix products: float32 or bfloat16
    model.init = init = ConfigDict()  # standard deviations of the weights
    init.embedding = 0.1  # token and position embeddings
    init.router = 0.1  # the router's matrices
    init.mlp = 0.1  # first MLP matrix; the second has half of it
    init.output = 0.02  # unembedding

    config.task = task = ConfigDict()
    task.name = "bigram_backcopy"  # or bytes; on graphs: csbm, digits, graph (a folder)
    task.text = ""  # a path, pydoc_data.topics, tfds:NAME; "": a random bigram table
    task.data_dir = ""  # where TFDS keeps texts; "": its own, ~/tensorflow_datasets
    task.symbols = 64  # alphabet of the table; of a text its most frequent ones
    task.triggers = 3  # symbols after which the sequence copies from two back
    task.trigger_mass = 0.6  # share of the triggers in every row; 0 keeps the table's
    task.concentration = 0.3  # of the random table's Dirichlet rows
    task.seed = 0  # of the random table or graph
    task.nodes = 200  # of csbm and digits
    task.within = 0.5  # csbm: probability of an edge inside a class ...
    task.across = 0.1  # ... and between the two
    task.signal = 0.1  # csbm: half the distance of the class means
    task.noise = 0.3  # csbm: standard deviation of the features
    task.neighbours = 8  # digits: k of the nearest-neighbour graph
    task.path = ""  # graph: folder with NAME.npz, or NAME.content and NAME.cites
    task.symmetrize = False  # graph: add the reverse of every edge
    task.hops = 2  # how far a node may read
    task.train_share = 0.5  # of the nodes, where the graph does not say

    config.train = train = ConfigDict()
    train.steps = 500
    train.batch = 16
    train.length = 64  # positions of a sequence; at least 10
    train.learning_rate = 3e-3
    train.betas = (0.9, 0.95)
    train.weight_decay = 1e-4
    train.clip = 1.0  # largest gradient norm; 0 turns clipping off
    train.warmup = 0  # steps of linear warm-up

    config.eval = evaluation = ConfigDict()
    evaluation.points = 10  # measurements at most, evenly spaced, besides step 0
    evaluation.sequences = 24  # held-out sequences of each measurement
    evaluation.diagnosed = 4  # of them, at the end: every measure and null; 0: none

    config.criterion = criterion = ConfigDict()  # of "collapsed"
    criterion.threshold = placeholder(float)  # None: hub mass .3; graphs: excess 5 ...
    criterion.quantile = 0.99  # ... (depth 2); and this quantile of all nulls ...
    criterion.margin = 0.02  # ... by this much

    config.wandb = wandb = ConfigDict()
    wandb.mode = (
        "auto"  # auto (online with a key, else offline), online, offline, disabled
    )
    wandb.project = "onset"
    wandb.entity = ""  # "" is your default entity

    return config
