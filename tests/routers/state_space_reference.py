"""State-space routers in float64 NumPy, by the plain recurrence."""

from typing import Any

import jax
import numpy as np

from routers.base import Array
from routers.ssd import SSD


def blend(strength: float, factor: np.ndarray, constant: Any) -> np.ndarray:
    return strength * factor + (1 - strength) * constant


def reference_matrix(
    router: Any, params: Any, x: Array, knobs: Any
) -> tuple[np.ndarray, Any, dict[str, np.ndarray]]:
    """A ``[B, I, T, S]`` in float64, by feeding the plain recurrence unit impulses.

    Delta, B and C are first spread to every inner channel, which makes both families
    the same recurrence.
    """
    features = router.apply(params, x, method=lambda module, x: module.project(x))
    features = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), features)
    p = {k: np.asarray(v, np.float64) for k, v in params["params"].items()}
    c, beta = float(knobs["content"]), float(knobs["brake"])
    of_step, of_write, of_read = (
        float(knobs["selectivity"]) * float(knobs[f"selectivity_{factor}"])
        for factor in ("step", "write", "read")
    )
    batch, length = x.shape[:2]
    inner, state = p["out"].shape[0], router.config.state
    frozen = np.log1p(np.exp(p["frozen_step"]))
    if isinstance(router, SSD):
        heads, groups = router.config.heads, router.config.groups
        wide = np.repeat(
            features.step.reshape(batch, length, heads), inner // heads, -1
        )
        step = blend(of_step, wide, np.repeat(frozen, inner // heads))
        rate = np.repeat(-np.exp(p["log_rate"]), inner // heads)[:, None]
        write, read = (
            np.repeat(blend(s, found, constant), inner // groups, axis=2)
            for s, found, constant in (
                (of_write, features.write, p["frozen_write"]),
                (of_read, features.read, p["frozen_read"]),
            )
        )
    else:
        step = blend(of_step, features.step.reshape(batch, length, inner), frozen)
        rate = -np.exp(p["log_rate"])
        write = blend(of_write, features.write, p["frozen_write"])[:, :, None]
        read = blend(of_read, features.read, p["frozen_read"])[:, :, None]
    written = blend(c, step, 1.0)
    write, read = blend(c, write, 1 / state), blend(c, read, 1.0)
    carry = np.zeros((batch, inner, state, length))  # last axis: where the impulse was
    matrix = np.zeros((batch, inner, length, length))
    for t in range(length):
        carry *= np.exp(beta * rate * step[:, t, :, None])[..., None]
        carry[..., t] += write[:, t] * written[:, t, :, None]
        matrix[:, :, t] = np.einsum(
            "bin,bins->bis", read[:, t] + 0 * carry[..., 0], carry
        )
    return matrix, features, p


def reference_output(router: Any, params: Any, x: Array, knobs: Any) -> np.ndarray:
    """y ``[B, T, D]`` in float64 from the reference matrix."""
    matrix, features, p = reference_matrix(router, params, x, knobs)
    batch, _, length, _ = matrix.shape
    value = features.value.reshape(batch, length, -1)
    inner = value.shape[-1]
    skip = np.repeat(p["skip"], inner // p["skip"].size)
    y = np.einsum("bits,bsi->bti", matrix, value) + skip * value
    y = y * features.gate / (1 + np.exp(-features.gate))
    if isinstance(router, SSD):
        by_group = y.reshape(batch, length, router.config.groups, -1)
        scale = np.sqrt(np.mean(by_group**2, axis=-1, keepdims=True) + 1e-5)
        y = (by_group / scale).reshape(y.shape) * p["scale"]
    return y @ p["out"]
