"""The reframing identity: dot-product routing is distance routing blind to key norms.

With ``|q - k|^2 = |q|^2 + |k|^2 - 2 q.k`` and ``|q|^2`` the same for every source,

    softmax_j(-|q - k_j|^2 / 2 tau) = softmax_j((q.k_j - |k_j|^2 / 2) / tau),

which is ``softmax_j(q.k_j / tau)`` exactly where all ``|k_j|`` are equal: the dot
product leaves out ``-|k_j|^2 / 2 tau``. The knob ``norm_awareness`` puts it back.
(The Boltzmann form is the maximum-entropy one under a fixed mean squared distance.)

Source: All Routes Lead to Collapse (arXiv 2606.22325), claim restated.
"""

import jax
import jax.numpy as jnp

from routers.base import Array


def dot_product_routing(
    query: Array, key: Array, temperature: float | Array, norm_awareness: float | Array
) -> Array:
    """``softmax_j((q.k_j - lambda |k_j|^2 / 2) / tau)``.

    Args:
      query: ``[T, K]``.
      key: ``[S, K]``.
      temperature: tau > 0; sqrt(K) in attention.
      norm_awareness: lambda; 0 is the dot product, 1 equals `distance_routing`.

    Returns:
      Weights ``[T, S]``, rows sum to 1.
    """
    square = jnp.sum(key**2, axis=-1)
    return jax.nn.softmax(
        (query @ key.T - 0.5 * norm_awareness * square[None]) / temperature, axis=-1
    )


def distance_routing(query: Array, key: Array, temperature: float | Array) -> Array:
    """``softmax_j(-|q - k_j|^2 / 2 tau)``: the Boltzmann distribution over distances.

    Args:
      query: ``[T, K]``.
      key: ``[S, K]``.
      temperature: tau > 0.

    Returns:
      Weights ``[T, S]``, rows sum to 1.
    """
    difference = query[:, None, :] - key[None, :, :]
    energy = jnp.sum(difference**2, axis=-1) / 2
    return jax.nn.softmax(-energy / temperature, axis=-1)
