"""What all decay recurrences share: exact log-decay sums and a frugal scan.

A router with decays weighs source j for query i by ``exp(sum_{m=j+1..i} g_m)`` with
log-decays ``g_m <= 0``. Differences of long cumulative sums lose accuracy and the
factored form ``exp(G_i) exp(-G_j)`` overflows, so neither is used here.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from routers.base import Array

CHUNK = 64


def segment_sums(log_decay: Array) -> Array:
    """Log-decay from every source to every query, each sum taken on its own.

    Args:
      log_decay: float32 ``[..., T]``, ``g_m``.

    Returns:
      ``[..., T, S]``: ``sum_{m=j+1..i} g_m`` for ``j <= i``, 0 elsewhere.
    """
    length = log_decay.shape[-1]
    step, source = jnp.arange(length)[:, None], jnp.arange(length)[None, :]
    terms = jnp.where(step > source, log_decay[..., :, None], 0.0)
    return jnp.cumsum(terms, axis=-2)


def checkpointed_scan(
    step: Callable[[Any, Any], tuple[Any, Any]], carry: Any, xs: Any, chunk: int = CHUNK
) -> Any:
    """`jax.lax.scan` that stores one carry a chunk and recomputes the rest.

    Backward memory is ``T / chunk`` carries and one chunk's intermediates in place of
    T of both; on CPU this is also faster than the plain scan.

    Args:
      step: as in `jax.lax.scan`.
      carry: initial state, float32.
      xs: pytree of arrays ``[T, ...]``.
      chunk: steps between stored carries.

    Returns:
      The stacked outputs ``[T, ...]``; the last carry is not returned.
    """
    length = jax.tree.leaves(xs)[0].shape[0]
    chunk = min(chunk, length)
    chunks = -(-length // chunk)

    def fold(x: Array) -> Array:
        # Steps on padding come last and reach no output that is kept.
        padding = [(0, chunks * chunk - length)] + [(0, 0)] * (x.ndim - 1)
        return jnp.pad(x, padding).reshape(chunks, chunk, *x.shape[1:])

    @jax.checkpoint
    def one_chunk(carry: Any, xs: Any) -> tuple[Any, Any]:
        return jax.lax.scan(step, carry, xs)

    _, outputs = jax.lax.scan(one_chunk, carry, jax.tree.map(fold, xs))
    return jax.tree.map(
        lambda y: y.reshape(chunks * chunk, *y.shape[2:])[:length], outputs
    )
