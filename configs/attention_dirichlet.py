"""Attention on a random bigram table: the other form of Bigram-Backcopy.

onset sweep --config=configs/attention_dirichlet.py --workdir=runs/dirichlet
"""

from ml_collections import ConfigDict

from configs import attention


def get_config(preset: str = "default") -> ConfigDict:
    """`attention.py` with Dirichlet rows and triggers of mass .4 in each."""
    config = attention.get_config(preset)
    config.task.text = ""
    config.task.trigger_mass = 0.4
    return config
