"""The reframing identity: dot-product routing is distance routing blind to key norms.

With ``|q - k|^2 = |q|^2 + |k|^2 - 2 q.k`` and ``|q|^2`` the same for every source,

    softmax_j(-|q - k_j|^2 / 2 tau) = softmax_j((q.k_j - |k_j|^2 / 2) / tau),

which equals ``softmax_j(q.k_j / tau)`` exactly where all ``|k_j|`` are equal: the dot
product leaves out ``-|k_j|^2 / 2 tau``. The Boltzmann form on the left is the
maximum-entropy distribution under a fixed mean squared distance.

The knob ``norm_awareness`` lambda puts the missing term back through `norm_aware`:

    A_ij = softmax_j((q_i.k_j - lambda |k_j|^2 / 2) / tau),       tau = sqrt(K)

At 0 this is the dot product, at 1 the Boltzmann distribution over distances.

Source: All Routes Lead to Collapse (arXiv 2606.22325), claim restated.
"""

import jax.numpy as jnp

from routers.base import Array, per_head


def norm_aware(score: Array, strength: Array, key: Array) -> Array:
    """``q_i.k_j - lambda |k_j|^2 / 2``: scores that know the norms of their keys.

    Args:
      score: Dot products ``q_i.k_j`` before the temperature, ``[B, H, T, S]``.
      strength: Knob lambda, scalar or ``[H]``; 0 leaves the scores unchanged, and at 1
        their softmax is that of ``-|q_i - k_j|^2 / 2``.
      key: Keys as they enter the score, ``[B, S, H, K]``.

    Returns:
      Scores ``[B, H, T, S]``.
    """
    square = jnp.einsum("bshk,bshk->bhs", key, key)[:, :, None, :]
    return score - 0.5 * per_head(strength) * square
