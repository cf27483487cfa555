"""Rotary position embedding (RoPE): queries and keys turned by their positions.

It is an encoding and no brake: the score is not monotone in the angle.

Reference: Su et al. 2021 (arXiv 2104.09864), half-split pairing as in GPT-NeoX.
"""

import jax.numpy as jnp
import numpy as np

from routers.base import Array


def rotary_frequencies(channels: int, base: float = 10000.0) -> np.ndarray:
    """Angles per step of ``channels / 2`` pairs, float32: ``base^(-2i / channels)``."""
    exponent = -np.arange(0, channels, 2, dtype=np.float32) / np.float32(channels)
    return np.float32(base) ** exponent


def rotate(x: Array, positions: Array, frequencies: np.ndarray | None = None) -> Array:
    """RoPE: rotates ``x [B, S, H, K]`` by its positions ``[S]``, float32.

    Args:
      x: Queries or keys. Channel i is paired with the one half of the rotated channels
        further on.
      positions: Positions, float32 ``[S]``.
      frequencies: Angles per step ``[R / 2]`` of the first R channels; the others are
        left as they are. None rotates all of them with `rotary_frequencies`.
    """
    if frequencies is None:
        frequencies = rotary_frequencies(x.shape[-1])
    half = len(frequencies)
    angle = positions[None, :, None, None] * jnp.asarray(frequencies)
    first, second, rest = jnp.split(x, [half, 2 * half], axis=-1)
    turned = [
        first * jnp.cos(angle) - second * jnp.sin(angle),
        second * jnp.cos(angle) + first * jnp.sin(angle),
    ]
    if rest.shape[-1]:
        turned.append(rest.astype(turned[0].dtype))
    return jnp.concatenate(turned, axis=-1)
