"""Every key of a sweep with its meaning; all other configs start from these values.

These values alone do not make a useful sweep: `attention.py` and the other configs
set what an experiment needs. Any key can also be set on the command line:

    onset sweep --config=configs/NAME.py --workdir=DIR [--config.KEY=VALUE ...]

A sweep trains one network, a *member*, for every pair of a value of the swept knob
and a seed, and asks at which value their routing collapses.
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def get_config() -> ConfigDict:
    """Returns the defaults of every key that configs share."""
    config = ConfigDict()
    config.seed = 0  # root of the random streams: initialisation, data, evaluation

    # The sweep: which knob takes which values, with how many seeds, on which devices.
    config.sweep = sweep = ConfigDict()
    # Knob that is varied, as "slot.knob": any knob of the token or the depth router.
    sweep.knob = "token.brake"
    sweep.low = 0.03  # smallest positive value of the knob
    sweep.high = 3.0  # largest value of the knob
    # Number of values from low to high, evenly spaced in the logarithm. 0, with zero,
    # trains at the value 0 alone, which has no onset.
    sweep.num = 9
    # Whether to train at the value 0 as well. It has no logarithm, so it is reported
    # beside the curve and never enters the fit of the critical value.
    sweep.zero = True
    sweep.seeds = 8  # initialisations per value; every value uses the same ones
    sweep.data_seeds = 1  # data streams; every initialisation is trained on each one
    # Devices that the members are distributed over. On a CPU every core is a device.
    sweep.devices = 0  # 0: all devices
    sweep.data = 1  # devices that split each batch of a member; 1: no splitting
    sweep.width = 0  # members a device trains at once with vmap; 0: chosen by timing

    # Refinement: after the first grid, train further values inside the confidence
    # interval of the critical value, with the same seeds, so that it becomes narrower.
    sweep.refine = refine = ConfigDict()
    refine.rounds = 0  # largest number of rounds; 0: no refinement
    # New values per round. With refinement, the first grid too is trained in groups of
    # this many values, so that one compiled program serves the grid and all rounds.
    refine.num = 5
    refine.width = 0.05  # stop once ln(high / low) of the interval is at most this

    # Router of the token slot, which mixes positions. Other routers have other
    # settings: a config replaces the whole block, and the settings are documented in
    # the router's dataclass (`AttentionConfig` and so on).
    config.router = router = ConfigDict()
    router.name = "attention"  # a key of routers.ROUTERS, or an installed router's name
    router.slopes = "uniform"  # factor of the brake in each head: uniform (1) or alibi
    router.rotary = False  # whether to rotate queries and keys by position (RoPE)

    # Router of the depth slot, which replaces the residual sum between layers.
    config.depth = depth = ConfigDict()
    # depth_attention, hyper_connections, or "" for the ordinary residual sum
    depth.name = ""
    depth.block = 1  # depth_attention: sublayers whose summed output is one source
    # depth_attention: distance of a source, counted in sources back from the last
    # (steps), or 0 for the last source and 1 for all others (last)
    depth.distance = "steps"
    depth.streams = 4  # hyper_connections: number of parallel residual streams

    # Values of the knobs that are not swept; None means the router's neutral value, at
    # which it is the published router. Each router declares which knobs it has.
    config.knobs = knobs = ConfigDict()
    knobs.token = ConfigDict()  # knobs of the router over positions
    # strength of the penalty on distance, or factor of the log-decay
    knobs.token.brake = placeholder(float)
    knobs.token.content = placeholder(float)  # factor of the content score
    # weight of the term -|k|^2 / 2 added to the score; 1: exact Boltzmann distance
    knobs.token.norm_awareness = placeholder(float)
    # normalisation of the keys: 0 as they are, 1 RMS-normalised
    knobs.token.key_normalization = placeholder(float)
    # weight of an additional source with value zero; 1: softmax-off-by-one
    knobs.token.null_sink = placeholder(float)
    # dependence of a learned decay on the input; 0: a learned constant
    knobs.token.selectivity = placeholder(float)
    # the same in a state space for Delta, B or C alone, times the common one
    knobs.token.selectivity_step = placeholder(float)
    knobs.token.selectivity_write = placeholder(float)
    knobs.token.selectivity_read = placeholder(float)
    knobs.depth = ConfigDict()  # knobs of the router over depth, with the same meaning
    knobs.depth.brake = placeholder(float)  # strength of the penalty on distance
    knobs.depth.content = placeholder(float)  # factor of the content score
    # normalisation of the keys: 0 as they are, 1 RMS-normalised
    knobs.depth.key_normalization = placeholder(float)
    # weight of an additional source with value zero; 1: softmax-off-by-one
    knobs.depth.null_sink = placeholder(float)

    # The network around the router.
    config.model = model = ConfigDict()
    model.layers = 1  # number of layers
    model.width = 64  # features per position
    model.heads = 1  # heads of the router; must divide the width
    model.mlp_ratio = 4  # hidden width of the MLP divided by model.width; 0: no MLP
    # learned (vectors added to the token embedding) or none
    model.positions = "learned"
    model.dtype = "float32"  # dtype of matrix products: float32 or bfloat16
    model.init = init = ConfigDict()  # standard deviations of the initial weights
    init.embedding = 0.1  # token and position embeddings
    init.router = 0.1  # the router's matrices
    init.mlp = 0.1  # first matrix of the MLP; the second one starts at half of this
    init.output = 0.02  # output layer, from features to logits

    # What the network learns, from which data.
    config.task = task = ConfigDict()
    # bigram_backcopy or bytes (text); csbm, digits or graph (classification of nodes)
    task.name = "bigram_backcopy"
    # Source text: a file, pydoc_data.topics (part of Python) or tfds:NAME. With ""
    # bigram_backcopy uses a random bigram table instead.
    task.text = ""
    task.data_dir = ""  # folder of TFDS texts; "": TFDS's own, ~/tensorflow_datasets
    # bigram_backcopy: size of the alphabet; of a text, its most frequent characters
    task.symbols = 64
    # bigram_backcopy: number of trigger symbols. The symbol after a trigger is a copy
    # of the symbol before the trigger; all others follow the bigram table.
    task.triggers = 3
    # bigram_backcopy: total probability of the triggers in every row of the bigram
    # table; 0: as in the table
    task.trigger_mass = 0.6
    # bigram_backcopy: Dirichlet concentration of the rows of a random bigram table
    task.concentration = 0.3
    task.seed = 0  # seed of the random bigram table, or of the graph and its split
    task.nodes = 200  # csbm and digits: number of nodes
    task.within = 0.5  # csbm: probability of an edge between nodes of the same class
    task.across = 0.1  # csbm: probability of an edge between the two classes
    task.signal = 0.1  # csbm: half the distance between the means of the two classes
    task.noise = 0.3  # csbm: standard deviation of the features around the class mean
    task.neighbours = 8  # digits: nearest neighbours that each node is connected to
    # graph: folder with NAME.npz, or with NAME.content and NAME.cites
    task.path = ""
    # graph: whether to add the reverse of every edge, as directed data need
    task.symmetrize = False
    task.hops = 2  # graphs: largest distance, in edges, at which a node can be read
    # graphs: share of the nodes to train on, where the data do not define a split
    task.train_share = 0.5

    # Training, with AdamW.
    config.train = train = ConfigDict()
    train.steps = 500  # optimiser steps
    train.batch = 16  # sequences per batch; on graphs a batch is the whole graph
    train.length = 64  # positions of a sequence; at least 10
    train.learning_rate = 3e-3  # step size after the warm-up
    train.betas = (0.9, 0.95)  # AdamW's decay rates of the two moment estimates
    train.weight_decay = 1e-4  # AdamW's decoupled weight decay
    train.clip = 1.0  # largest norm of a member's gradient; 0: no clipping
    train.warmup = 0  # steps of linear warm-up, at most train.steps
    # Steps after which all members' parameters stay on disk, from the initial ones on,
    # so that they can be opened later. A multiple of the steps between measurements;
    # 0: those after the last step alone.
    train.keep_every = 0

    # Evaluation during and after training.
    config.eval = evaluation = ConfigDict()
    # Largest number of measurements besides the one at step 0. They divide train.steps
    # evenly, so there can be fewer.
    evaluation.points = 10
    evaluation.sequences = 24  # held-out sequences used by each measurement
    # How many of these sequences the diagnosis after the last step uses, which takes
    # every measure under every null; 0: no diagnosis
    evaluation.diagnosed = 4

    # When a member counts as collapsed: its concentration must exceed the threshold,
    # and must exceed the quantile of each of three nulls (uniform routing, the brake
    # alone, the untrained network) by the margin.
    config.criterion = criterion = ConfigDict()
    # None: hub mass .3 over tokens; mass relative to uniform routing 5 on graphs, 2
    # over depth
    criterion.threshold = placeholder(float)
    criterion.quantile = 0.99  # quantile of each null over sequences and seeds
    criterion.margin = 0.02  # amount by which that quantile must be exceeded

    # Weights & Biases.
    config.wandb = wandb = ConfigDict()
    # online, offline, disabled, or auto: $WANDB_MODE if it is set, otherwise online if
    # an API key is configured and offline if none is
    wandb.mode = "auto"
    wandb.project = ""  # project of the runs; "": $WANDB_PROJECT, otherwise onset
    # user or team that owns the project; "": $WANDB_ENTITY, otherwise your default
    wandb.entity = ""

    return config
