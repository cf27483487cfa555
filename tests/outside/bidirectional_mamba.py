"""A reader for typeseg's Mamba, which names the language of every byte of a text.

    h = LN(x);  u = SiLU(conv(W_u h));  z = W_z h
    x += W_out( (A u + A' u + 2 D u) * SiLU(z) )

A reads the past and A' the future, with the same weights; the convolution looks both
ways. Files and reference: the Python package typeseg 0.2.7.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from routers.base import Array, Geometry, Knobs, Router, Routing, head_norms
from routers.grouped_attention import sequence_geometry
from routers.pretrained.network import (
    Layer,
    Network,
    Params,
    Sizes,
    dense,
    layer_norm,
    take,
)
from routers.pretrained.source import Source
from routers.pretrained.tensors import Read
from routers.pretrained.tokenizer import Tokenizer
from routers.selective_scan import Factors, average_shares, selective_scan
from routers.selective_ssm import SelectiveFeatures, SelectiveSSM, SelectiveSSMConfig

LEAST_STEP = 1e-4
EPSILON = 1e-6


def backwards(factors: Factors) -> Factors:
    """The factors of the sequence read from its end; the rates stay as they are."""
    flipped = jax.tree.map(lambda factor: jnp.flip(factor, 1), factors)
    return flipped.replace(rate=factors.rate)


class BidirectionalSSM(SelectiveSSM):
    """Mamba-1 in both directions: H groups of channels forward, then H backward."""

    kinds = frozenset({"graph"})
    forward = Router.forward  # not in segments: the future is read, too

    def setup(self) -> None:
        """The weights of `SelectiveSSM`, and a bias for each of its matrices."""
        super().setup()
        for name in ("input", "select", "step_up", "out"):
            size = getattr(self, name).shape[-1]
            bias = self.param(f"{name}_bias", nn.initializers.zeros, (size,))
            setattr(self, f"{name}_bias", bias)

    def project(self, x: Array) -> SelectiveFeatures:
        """As in `SelectiveSSM`, with biases and a convolution that looks both ways."""
        batch, length, _ = x.shape
        state, rank = self.config.state, self.step_up.shape[0]
        value, gate = jnp.split(dense(x, self.input, self.input_bias), 2, axis=-1)
        window = self.config.conv
        before = (window - 1) // 2
        padded = jnp.pad(value, ((0, 0), (before, window - 1 - before), (0, 0)))
        moved = [padded[:, w : w + length] * self.kernel[w] for w in range(window)]
        value = jax.nn.silu(sum(moved) + self.kernel_bias)
        selected = dense(value, self.select, self.select_bias)
        low, write, read = jnp.split(selected, [rank, rank + state], axis=-1)
        step = jax.nn.softplus(dense(low, self.step_up, self.step_up_bias))
        grouped = (batch, length, self.config.groups, -1)
        return SelectiveFeatures(
            value=value.reshape(grouped),
            gate=gate,
            step=(step + LEAST_STEP).reshape(grouped),
            write=write,
            read=read,
        )

    def route(
        self, features: SelectiveFeatures, geometry: Geometry, knobs: Knobs
    ) -> Routing:
        """Shares and cancellation of both directions."""
        factors = self.factors(features, knobs)
        past, cancelled, mass = average_shares(factors)
        future, cancelled_back, mass_back = average_shares(backwards(factors))
        norms = head_norms(features.value)
        return Routing(
            weights=jnp.concatenate([past, jnp.flip(future, (2, 3))], axis=1),
            cancellation=jnp.concatenate([cancelled, jnp.flip(cancelled_back, 2)], 1),
            value_norms=jnp.concatenate([norms, norms], axis=1),
            channel_mass=jnp.concatenate([mass, jnp.flip(mass_back, 3)], axis=1),
        )

    def values(self, features: SelectiveFeatures) -> Array:
        """The input after the convolution, once for each direction."""
        return jnp.concatenate([features.value, features.value], axis=2)

    def combine(
        self,
        features: SelectiveFeatures,
        values: Array,
        geometry: Geometry,
        knobs: Knobs,
    ) -> Array:
        """Both directions by the recurrence."""
        factors = self.factors(features, knobs)
        ahead, back = jnp.split(values, 2, axis=2)
        future = selective_scan(backwards(factors), jnp.flip(back, 1))
        past = selective_scan(factors, ahead)
        return jnp.concatenate([past, jnp.flip(future, 1)], axis=2)

    def finish(self, features: SelectiveFeatures, mixed: Array) -> Array:
        """``y [B, T, D]``: both directions added, skips, gate, output matrix."""
        past, future = jnp.split(mixed, 2, axis=2)
        skip = 2 * self.skip.reshape(features.value.shape[2:])
        y = (past + future + skip * features.value).reshape(features.gate.shape)
        return dense(y * jax.nn.silu(features.gate), self.out, self.out_bias)

    def lookback(self) -> int:
        """The convolution looks at most this far in either direction."""
        return self.config.conv // 2


ROUTER = {
    "input": "Dense_0__kernel",
    "input_bias": "Dense_0__bias",
    "kernel_bias": "Conv_0__bias",
    "select": "Dense_1__kernel",
    "select_bias": "Dense_1__bias",
    "step_up": "Dense_2__kernel",
    "step_up_bias": "Dense_2__bias",
    "log_rate": "A_log",
    "skip": "D",
    "out": "Dense_3__kernel",
    "out_bias": "Dense_3__bias",
}
"""Our parameters and the names of theirs, which have the same layout."""


def read(source: Source) -> Network:
    """The network in ``mamba_al.npz``. All sizes follow from the shapes."""
    entries, first = source.tensors.entries, "CheckpointMambaBlock1D_0__"
    vocabulary, width = entries["Embed_0__embedding"].shape
    inner, state = entries[f"{first}A_log"].shape
    rank = entries[f"{first}Dense_2__kernel"].shape[0]
    window = entries[f"{first}Conv_0__kernel"].shape[0]
    layers = sum(name.endswith("__A_log") for name in entries)
    constant = np.full(state, state**-0.5, np.float32)

    def norm(read: Read, name: str) -> Params:
        gain, bias = (read(f"{name}__{part}", width) for part in ("scale", "bias"))
        return {"gain": gain, "bias": bias}

    def layer_weights(read: Read) -> Params:
        router = {
            ours: read(n, *entries[first + n].shape) for ours, n in ROUTER.items()
        }
        router["kernel"] = read("Conv_0__kernel", window, 1, inner)[:, 0]
        router |= {"step_bias": router["step_up_bias"], "frozen_write": constant}
        router |= {"frozen_step": router["step_up_bias"], "frozen_read": constant}
        return {"router": router, "norm": norm(read, "LayerNorm_0")}

    def head_weights(read: Read) -> Params:
        kernel = read("Dense_0__kernel", *entries["Dense_0__kernel"].shape)
        bias = read("Dense_0__bias", kernel.shape[1])
        return {"norm": norm(read, "LayerNorm_0"), "kernel": kernel, "bias": bias}

    def normed(params: Params, stream: Array) -> Array:
        return layer_norm(stream, params["norm"], EPSILON)

    def logits(params: Params, stream: Array) -> Array:
        return dense(normed(params, stream), params["kernel"], params["bias"])

    config = SelectiveSSMConfig(inner // width, state, window, rank, source.groups)
    return Network(
        family="typeseg",
        sizes=Sizes(layers, width, 2 * source.groups, vocabulary),
        layer=Layer(
            BidirectionalSSM(width, config),
            read=normed,
            write=lambda params, stream, y: stream + y,
        ),
        embed=lambda params, tokens: take(params["table"], tokens),
        logits=logits,
        tensors=source.tensors,
        embedding_weights=lambda read: {
            "table": read("Embed_0__embedding", vocabulary, width)
        },
        layer_weights=layer_weights,
        head_weights=head_weights,
        prefix="CheckpointMambaBlock1D_{}__",
        geometry=sequence_geometry,
        tokenizer=functools.partial(Tokenizer, encode=bytes_as_tokens),
        predicts=False,  # the language of every byte, not the next one
    )


def bytes_as_tokens(text: str) -> list[int]:
    """Bytes of ASCII as they are, all others as one token."""
    return [min(byte, 128) for byte in text.encode()]
