"""Hubs of single channels, where the channels of a head have matrices of their own.

The reported routing of such a router is the mean over channels, and a mean can hide a
hub that few channels have. The functions take the mass of every channel, from which the
hub of each is known exactly, and reduce it to one number for a head.

The share of channels with a sink is to channels what the sink rate of Gu et al. 2025
(arXiv 2410.10781) is to heads, except that any source can be the hub.
"""

import jax.numpy as jnp

from routers.base import Array
from routers.signature import concentration


def largest(importance: Array) -> Array:
    """The largest hub mass of a channel, ``[H]``.

    Args:
      importance: Importance of the sources that can be hubs, for every channel,
        ``[H, V, S]``.
    """
    return jnp.max(concentration.hub_mass(importance), axis=-1)


def sink_rate(importance: Array) -> Array:
    """Share of the channels whose hub mass exceeds .3, in [0, 1], ``[H]``.

    Args:
      importance: As in `largest`.
    """
    sinks = concentration.hub_mass(importance) > concentration.SINK_THRESHOLD
    return jnp.mean(sinks.astype(jnp.float32), axis=-1)
