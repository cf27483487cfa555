"""Layers as steps of a power method: do tokens align with one direction of a layer?

For one head ``M = W_O W_V`` (column convention, ``y = W_O W_V x``). The output of one
layer leans towards the leading left singular vector, where the gain is greatest. The
same map, applied repeatedly, turns everything towards its dominant eigenvector.
"""

import jax
import jax.numpy as jnp

from routers.base import Array
from routers.signature.collapse import normalize_rows

SQUARINGS = 20
"""Number of squarings. In M^(2^20) a ratio of eigenvalues up to 1 - 2e-5 vanishes in
float32."""

RANK_ONE = 1e-3
"""Largest share of the power that may be orthogonal to its leading direction."""
TURNED = 1e-4
"""Largest angle, in radians, by which the matrix may turn an eigenvector: rounding."""


def dominant_direction(matrix: Array) -> Array:
    """Unit eigenvector ``[D]`` of the single eigenvalue of greatest modulus.

    It is computed by repeated squaring, without LAPACK, so it runs on any device and
    under vmap.

    Args:
      matrix: Matrix ``[D, D]``.

    Returns:
      The eigenvector up to sign. NaN where there is no *single* such real direction:
      for a zero or nilpotent matrix, a complex pair, a tie, or two eigenvalues so close
      that the power is not of rank one.
    """

    def square(_: int, power: Array) -> Array:
        product = jnp.dot(power, power, precision=jax.lax.Precision.HIGHEST)
        # A nilpotent matrix leaves only rounding errors, which must not be amplified.
        return _unit(jnp.where(jnp.abs(product) > 1e-30, product, 0.0))

    matrix = _unit(matrix.astype(jnp.float32))
    power = jax.lax.fori_loop(0, SQUARINGS, square, matrix)
    column = jnp.argmax(jnp.sum(power**2, axis=0))
    vector = power[:, column]
    vector = vector / jnp.linalg.norm(vector)
    beside = power - jnp.outer(vector, vector @ power)
    single = jnp.linalg.norm(beside) < RANK_ONE * jnp.linalg.norm(power)
    # With nearly parallel eigenvectors the power of a complex pair is nearly rank one.
    image = jnp.dot(matrix, vector, precision=jax.lax.Precision.HIGHEST)
    turned = jnp.linalg.norm(image - (vector @ image) * vector)
    single &= turned < TURNED * jnp.linalg.norm(image)
    return jnp.where(single, vector, jnp.nan)


def leading_left_vector(matrix: Array) -> Array:
    """Left singular vector ``[D]`` of the greatest singular value, up to sign.

    NaN where several singular values share the greatest value, or the matrix is zero.
    """
    matrix = _unit(matrix.astype(jnp.float32))
    gram = jnp.dot(matrix, matrix.T, precision=jax.lax.Precision.HIGHEST)
    return dominant_direction(gram)


def power_directions(circuits: Array) -> Array:
    """Leading left singular vectors and dominant eigenvectors, ``[2, H, D]``.

    Args:
      circuits: Product ``W_O W_V`` of every head, ``[H, D, D]``.
    """
    both = (leading_left_vector, dominant_direction)
    return jnp.stack([jax.vmap(direction)(circuits) for direction in both])


def alignment(x: Array, direction: Array) -> Array:
    """Mean over tokens of ``|cos|`` between a token and a direction, in [0, 1].

    Args:
      x: Tokens ``[T, D]``; rows of zeros have no direction and are left out.
      direction: Unit vector ``[D]``.

    Returns:
      A scalar; NaN if the direction is NaN or all rows are zero.
    """
    cosine = jnp.abs(normalize_rows(x) @ direction)
    counted = jnp.any(x != 0, axis=-1)
    return jnp.sum(cosine * counted) / jnp.sum(counted)


def _unit(matrix: Array) -> Array:
    # Division by the largest entry keeps squares of entries in float32's range.
    return matrix / jnp.max(jnp.abs(matrix))
