"""Gated linear attention over time, on real text: its learned decay is the brake.

    onset sweep --config=configs/gla.py --workdir=runs/gla
    onset sweep --config=configs/gla.py:full --workdir=runs/gla_full

RESULTS
"""

from ml_collections import ConfigDict

from configs import retention


def get_config(preset: str = "default") -> ConfigDict:
    """`retention.py` with gated linear attention, likewise without an output gate."""
    config = retention.get_config(preset)
    config.router = ConfigDict({"name": "gla", "gated": False})
    config.sweep.low, config.sweep.high = 0.01, 10.0
    return config
