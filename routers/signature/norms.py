"""Stratification of norms: keys, values and features of the hub relative to the rest.

Reference for the negative-aware norm: Park et al. 2023, Understanding the feature norm
for out-of-distribution detection (ICCV, arXiv 2310.05316).
"""

import jax
import jax.numpy as jnp

from routers.base import Array

ROUNDING = 8 * float(jnp.finfo(jnp.float32).eps)
"""Relative spread, about 1e-6, up to which numbers are equal but for rounding."""


def variation(key_norms: Array) -> Array:
    """Standard deviation divided by mean of the key norms ``[H, S]``, ``[H]``.

    NaN where all norms are 0, which is 0/0.
    """
    scaled = key_norms / jnp.max(key_norms, axis=-1, keepdims=True)
    return jnp.std(scaled, axis=-1) / jnp.mean(scaled, axis=-1)


def hub_log_ratio(norms: Array, hub: Array) -> Array:
    """``ln(|k_hub| / median |k|)``, ``[H]``; negative if the hub's key is shorter.

    Args:
      norms: Norms of keys or values, ``[H, S]``.
      hub: Index of the hub source, ``[H]``.

    Returns:
      The log ratio; NaN where the hub's norm or the median is 0.
    """
    return _log_ratio(_of_source(norms, hub), jnp.median(norms, axis=-1))


def hub_against_rest(norms: Array, hub: Array) -> Array:
    """``ln`` of the hub's norm divided by the median of all *other* norms, ``[H]``.

    Arguments and limits as in `hub_log_ratio`; NaN also for a single source.
    """
    others = jnp.arange(norms.shape[-1])[None] != hub[:, None]
    rest = jnp.nanmedian(jnp.where(others, norms, jnp.nan), axis=-1)
    return _log_ratio(_of_source(norms, hub), rest)


def rank_correlation(first: Array, second: Array) -> Array:
    """Spearman's correlation over the last axis ``[H, S]``, ``[H]``; ties share ranks.

    For key norms and `concentration.excess_of_sources` it is also the correlation of
    ``ln |k_j|`` and ``ln rho_j``, since a logarithm does not change ranks. NaN where
    one of the two is constant up to the rounding of float32, because the ranks of
    rounding errors mean nothing and depend on the order of a sum.
    """
    constant = _is_constant(first) | _is_constant(second)
    first, second = _centred_ranks(first), _centred_ranks(second)
    # Ranks are half-integers: their products are exact up to about 250 sources.
    covariance = jnp.sum(first * second, axis=-1)
    spread = jnp.sqrt(jnp.sum(first**2, -1)) * jnp.sqrt(jnp.sum(second**2, -1))
    return jnp.where(constant, jnp.nan, covariance / spread)


def massive_activation(x: Array) -> Array:
    """``max |h| / median |h|`` over all entries of ``x [T, D]``.

    NaN where the median is 0, that is, where more than half of the entries are.
    """
    magnitude = jnp.abs(x.astype(jnp.float32))
    # Sorting thousands of entries would cost more than all other measures of a layer.
    median = (
        _smallest(magnitude, (x.size - 1) // 2) + _smallest(magnitude, x.size // 2)
    ) / 2
    ratio = jnp.max(magnitude) / jnp.where(median > 0, median, 1.0)
    return jnp.where(median > 0, ratio, jnp.nan)


def jensen_shannon(first: Array, second: Array) -> Array:
    """Mean over queries of the Jensen-Shannon divergence of two routings, ``[H]``.

    Args:
      first: Routing weights ``[H, T, S]``, for example at norm awareness 0.
      second: Routing weights ``[H, T, S]``, for example at norm awareness 1.

    Returns:
      The divergence in nats, between 0 (equal) and ln 2 (no common source). Rows are
      normalised to sum 1. Rows without mass are left out; NaN where no row is left.
    """
    sums = [jnp.sum(weights, axis=-1) for weights in (first, second)]
    counted = (sums[0] > 0) & (sums[1] > 0)
    one, two = (
        weights / jnp.where(total > 0, total, 1.0)[..., None]
        for weights, total in zip((first, second), sums, strict=True)
    )
    middle = (one + two) / 2

    def relative(share: Array) -> Array:
        # log1p of the relative gap, since nearly equal rows would lose all digits in a
        # log. Where the gap is -1 up to rounding, the share is too small to matter.
        gap = (share - middle) / jnp.where(middle > 0, middle, 1.0)
        logarithm = jnp.log1p(jnp.maximum(gap, jnp.finfo(gap.dtype).eps - 1.0))
        return jnp.sum(share * logarithm, axis=-1)

    divergence = jnp.maximum(relative(one) + relative(two), 0.0) / 2
    return jnp.sum(divergence * counted, -1) / jnp.sum(counted, -1)


def feature_norm(x: Array) -> Array:
    """Euclidean norm of each row of ``x [T, D]``, ``[T]``."""
    return jnp.linalg.norm(x.astype(jnp.float32), axis=-1)


def negative_aware_norm(x: Array) -> Array:
    """``|a|_1 / |a|_0`` of the positive part ``a`` of each row, ``[T]``.

    This is the mean of the active entries, so fewer active entries raise it. It is 0
    for a row without a positive entry, the limit as active entries vanish.
    """
    active = jnp.maximum(x.astype(jnp.float32), 0.0)
    return jnp.sum(active, axis=-1) / jnp.maximum(jnp.sum(active > 0, axis=-1), 1)


def _of_source(norms: Array, source: Array) -> Array:
    index = source.astype(jnp.int32)[..., None]
    return jnp.take_along_axis(norms, index, axis=-1)[..., 0]


def _smallest(magnitudes: Array, rank: int) -> Array:
    """The entry with a given rank (0 is the least) among non-negative ones.

    Non-negative floats are ordered like their bits, so a bisection with 31 counts finds
    it exactly.
    """
    bits = jax.lax.bitcast_convert_type(magnitudes, jnp.int32)

    def halve(step: int, found: Array) -> Array:
        tried = found | (1 << (30 - step))
        return jnp.where(jnp.sum(bits < tried) <= rank, tried, found)

    found = jax.lax.fori_loop(0, 31, halve, jnp.zeros((), jnp.int32))
    return jax.lax.bitcast_convert_type(found, jnp.float32)


def _log_ratio(above: Array, below: Array) -> Array:
    defined = (above > 0) & (below > 0)
    ratio = jnp.where(defined, above, 1.0) / jnp.where(defined, below, 1.0)
    return jnp.where(defined, jnp.log(ratio), jnp.nan)


def _is_constant(x: Array) -> Array:
    """Whether the last axis of ``x`` is constant up to rounding."""
    spread = jnp.max(x, axis=-1) - jnp.min(x, axis=-1)
    return spread <= ROUNDING * jnp.max(jnp.abs(x), axis=-1)


def _centred_ranks(x: Array) -> Array:
    lower = jnp.sum(x[..., None, :] < x[..., :, None], axis=-1)
    equal = jnp.sum(x[..., None, :] == x[..., :, None], axis=-1)
    return lower + (equal - 1) / 2 - (x.shape[-1] - 1) / 2
