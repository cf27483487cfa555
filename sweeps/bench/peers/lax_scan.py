"""Peers of `onset bench --what=mixing`: the same routers through a plain `lax.scan`.

Parameters, projections and read-out are the same. The recurrence is the published one,
computed one position at a time, and JAX stores what the gradient needs.
"""

from typing import Any

import jax
import jax.numpy as jnp

from routers.base import Array, Geometry, Knobs, Router
from routers.rwkv import RWKV4
from routers.selective_scan import empty_state
from routers.selective_ssm import SelectiveSSM


class PlainRWKV4(RWKV4):
    """RWKV-4, computed one position at a time."""

    def forward(self, x: Array, geometry: Geometry, knobs: Knobs) -> Array:
        """Returns ``y [B, T, D]``, equal to that of the router itself."""
        features = self.project(x)
        key, value, bonus, decay = self._scan_inputs(features, knobs)

        def step(carry: tuple[Array, ...], now: tuple[Array, Array]) -> Any:
            numerator, denominator, top = carry
            key, value = now[0], now[1].astype(jnp.float32)
            # This cancels in the ratio, so no gradient needs to pass through it.
            reading = jax.lax.stop_gradient(jnp.maximum(top, key + bonus))
            past, own = jnp.exp(top - reading), jnp.exp(key + bonus - reading)
            y = (past * numerator + own * value) / (past * denominator + own)
            after = jax.lax.stop_gradient(jnp.maximum(top - decay, key))
            kept, new = jnp.exp(top - decay - after), jnp.exp(key - after)
            carry = (kept * numerator + new * value, kept * denominator + new, after)
            return carry, y

        bonus, decay = bonus[None], decay[None]
        over_time = (jnp.moveaxis(key, 1, 0), jnp.moveaxis(value, 1, 0))
        zero = jnp.zeros(over_time[0].shape[1:], jnp.float32)
        _, means = jax.lax.scan(step, (zero, zero, zero - jnp.inf), over_time)
        return self.finish(features, jnp.moveaxis(means, 0, 1))


class PlainSelectiveSSM(SelectiveSSM):
    """Mamba-1, computed one position at a time."""

    def forward(self, x: Array, geometry: Geometry, knobs: Knobs) -> Array:
        """Returns ``y [B, T, D]``, equal to that of the router itself."""
        features = self.project(x)
        factors = self.factors(features, knobs)

        def step(state: Array, now: tuple[Array, ...]) -> tuple[Array, Array]:
            step, source, write, read = now
            decay = jnp.exp(factors.rate * step[:, None])
            state = decay * state + write[..., None] * source[:, None]  # [B, N, H, P]
            return state, jnp.sum(read[..., None] * state, axis=1)

        over_time = (
            jnp.moveaxis(factors.step, 1, 0),
            jnp.moveaxis(factors.written * features.value.astype(jnp.float32), 1, 0),
            factors.write.transpose(1, 0, 3, 2),
            factors.read.transpose(1, 0, 3, 2),
        )
        state = empty_state(factors, features.value)
        _, mixed = jax.lax.scan(step, state, over_time)
        return self.finish(features, jnp.moveaxis(mixed, 0, 1))


PLAIN: dict[type[Router], type[Router]] = {
    RWKV4: PlainRWKV4,
    SelectiveSSM: PlainSelectiveSSM,
}
"""The peer of each router."""
