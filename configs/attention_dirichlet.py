"""Attention on a random bigram table: the other form of Bigram-Backcopy.

    onset sweep --config=configs/attention_dirichlet.py --workdir=runs/dirichlet

Time on 2 CPU cores: 122 s. What comes out (8 seeds): hub mass .70 (nulls .07) in
8/8 seeds up to brake .31, 1/8 at .46, none beyond: critical brake .42, 95 % interval
.31 to .46. The effective rank (13) is not below its uniform null (7) and key norms
stratify (sd/mean .44). Held-out loss 1.990 to 2.008 nats.
"""

from ml_collections import ConfigDict

from configs import attention


def get_config(preset: str = "default") -> ConfigDict:
    """`attention.py` with Dirichlet rows and triggers of mass .4 in each."""
    config = attention.get_config(preset)
    config.task.text = ""
    config.task.trigger_mass = 0.4
    return config
