"""Attention on next-byte text: the distance brake, on a real text read byte by byte.

    onset sweep --config=configs/attention_bytes.py --workdir=runs/bytes

``task.text`` is a file, ``pydoc_data.topics`` (the default) or ``tfds:NAME``. TFDS
keeps its records in ``task.data_dir``, by default ``~/tensorflow_datasets``.

Wall time on 2 CPU cores: 100 s, while other work ran.

Result (8 seeds): no part of the signature appears at any brake. The hub mass is .07 at
brake 0 and .05 to .06 from .1 on; its nulls are at .07. The rank ratio is 1.13 to 1.24,
above that of uniform routing: queries share fewer sources than by chance. The hub's key
is .81 to 1.14 times as long as the median and its value .93 to 1.06 times, within or
near the untrained range (.8 to 1.2). The held-out loss falls from 2.25 nats per byte at
brake 0 to 2.16 at 1, and was still falling: after 600 steps the router has a use for
every position and parks no attention. No other size or length of training was tried;
a trained language model does park (docs/pretrained.md).
"""

from ml_collections import ConfigDict

from configs import default


def get_config(preset: str = "default") -> ConfigDict:
    """One attention layer on bytes; ``full`` has more seeds, values and steps."""
    if preset not in ("default", "full"):
        raise ValueError(f"preset {preset!r}: must be default or full")
    config = default.get_config()
    config.sweep.low, config.sweep.high = 0.03, 1.0
    config.sweep.num = 10
    config.task.name = "bytes"
    config.task.text = "pydoc_data.topics"
    config.task.trigger_mass = 0.0
    config.model.mlp_ratio = 0
    config.model.init.router = 0.02
    config.train.steps = 600
    if preset == "full":
        config.sweep.num, config.sweep.seeds = 16, 16
        config.train.steps = 1200
    return config
