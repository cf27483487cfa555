"""Runs one pass: all windows through all layers, which are read one at a time."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from routers.base import Array
from routers.pretrained import Model, Params
from routers.signature.nulls import REAL, UNTRAINED
from routers.signature.rank_ratio import row_orders
from sweeps.measured.rows import PERMUTED_TOKENS, RANDOM_TOKENS, TEXT, UNIFORM, Row
from sweeps.measured.windows import Windows
from train.published import (
    Change,
    average_layer,
    changes_of,
    freeze,
    freezes,
    measure_stream,
    pass_layer,
    predict,
    redraw,
    untrained,
)

WINDOWS = "windows"
"""Mesh axis whose devices share the windows."""

PREDICTED = ("loss/held_out", "accuracy/held_out")
Advance = Callable[[int], None]
"""Called with the number of each layer that is done."""


class Passes:
    """Everything that the passes of one measurement share, compiled once."""

    def __init__(self, model: Model, windows: Windows, seed: int) -> None:
        """Prepares.

        Args:
          model: The opened model.
          windows: The windows of text; the devices of this process share them.
          seed: Root of everything random: orders, shuffles, untrained weights.
        """
        self.model, self._tokens = model, windows.tokens
        count, length = windows.tokens.shape
        self._key = jax.random.key(seed)
        self._geometry = model.geometry(length)
        self._orders = jax.jit(row_orders)(
            jax.random.fold_in(self._key, 0), self._geometry.mask
        )
        devices = jax.devices()
        sharing = max(n for n in range(1, len(devices) + 1) if count % n == 0)
        mesh = Mesh(np.asarray(devices[:sharing]), (WINDOWS,))
        whole, own = P(), P(WINDOWS)

        def shared(function: Callable[..., Any], *specs: Any) -> Callable[..., Any]:
            local = functools.partial(function, model)
            return jax.jit(
                jax.shard_map(
                    local, mesh=mesh, in_specs=specs, out_specs=own, check_vma=False
                )
            )

        # The specs of a tree are a tree of specs.
        made = Change(whole, own)  # type: ignore[arg-type]
        self._layer = shared(pass_layer, whole, own, whole, whole, made, whole, whole)
        self._average = shared(average_layer, whole, own, whole)
        self._freeze = jax.jit(freeze)
        self._means: dict[bool, list[dict[str, Array]]] = {}
        self._predict = shared(predict, whole, own, own)
        self._measure_stream = jax.jit(jax.vmap(measure_stream))
        # Placed as a layer's output is: one compiled layer serves the first one too.
        placed = NamedSharding(mesh, own)
        self._embed = jax.jit(model.embed, out_shardings=placed)
        self._untrained = jax.jit(functools.partial(untrained, model))

    def run(self, row: Row, advance: Advance) -> dict[str, np.ndarray]:
        """Runs one pass.

        Returns:
          Every measure, ``[W, L, H]``; those of the stream, ``[W, L + 1, 1]``, end with
          the last one, which no layer reads. For the model as it is and for the
          untrained one, also ``loss/held_out`` and ``accuracy/held_out``, ``[W]``, if
          there are logits.
        """
        model, tokens = self.model, self._row_tokens(row.tokens)
        knobs = {name: jnp.float32(value) for name, value in row.knobs}
        names, _ = changes_of(model)
        count = len(tokens)
        made = Change(
            jnp.int32(names.index(row.change) + 1 if row.change else 0),
            jax.random.split(jax.random.fold_in(self._key, 1), count),
        )
        ranked = jnp.asarray(row.null != UNIFORM)  # whose rank ratio is 1
        frozen = freezes(model, dict(row.knobs))
        means = self._average_layers(row.untrained) if frozen else []
        stream = self._embedded(tokens, row.untrained)
        found: list[dict[str, np.ndarray]] = []
        for index in range(model.sizes.layers):
            params = self._read_layer(index, stream, row.untrained)
            if frozen:
                params = self._freeze(params, means[index])
            stream, measures = self._layer(
                params, stream, self._geometry, knobs, made, self._orders, ranked
            )
            found.append(jax.tree.map(np.asarray, measures))
            advance(index)
        last = self._measure_stream(stream)
        by_layer = {
            name: np.stack([one[name] for one in (*found, last) if name in one], axis=1)
            for name in found[0]
        }
        if row.null in (REAL, UNTRAINED) and model.predicts:
            head = model.read_head()
            if row.untrained:
                head = redraw(head, self._layer_key(model.sizes.layers))
            predicted = self._predict(head, stream, tokens)
            by_layer |= {name: np.asarray(predicted[name]) for name in PREDICTED}
        return by_layer

    def _average_layers(self, untrained: bool) -> list[dict[str, Array]]:
        """Means of every layer's factors, of the model as it is, taken once.

        An untrained network is frozen at its own, since those of the published one say
        nothing about it.
        """
        if untrained not in self._means:
            stream = self._embedded(self._tokens, untrained)
            of_layers = []
            for index in range(self.model.sizes.layers):
                params = self._read_layer(index, stream, untrained)
                stream, means = self._average(params, stream, self._geometry)
                of_layers.append(means)
            self._means[untrained] = of_layers
        return self._means[untrained]

    def _embedded(self, tokens: np.ndarray, untrained: bool) -> Array:
        weights = self.model.read_embedding()
        if untrained:
            weights = redraw(weights, self._layer_key(-1))
        return self._embed(weights, tokens)

    def _read_layer(self, index: int, stream: Array, untrained: bool) -> Params:
        params = self.model.read_layer(index)
        if untrained:
            key = self._layer_key(index)
            params = self._untrained(params, stream, self._geometry, key)
        return params

    def _layer_key(self, index: int) -> Array:
        return jax.random.fold_in(jax.random.fold_in(self._key, 2), index + 1)

    def _row_tokens(self, kind: str) -> np.ndarray:
        """The windows, or what a null puts in their place; the first token stays.

        Models that were trained with a token at the beginning of every text keep it.
        """
        tokens: Any = self._tokens
        if kind == TEXT:
            return tokens
        rng = np.random.default_rng(np.asarray(jax.random.key_data(self._key)))
        rest = tokens[:, 1:]
        if kind == RANDOM_TOKENS:
            rest = rng.integers(0, self.model.sizes.vocabulary, rest.shape)
        elif kind == PERMUTED_TOKENS:
            rest = rng.permuted(rest, axis=1)
        return np.concatenate([tokens[:, :1], rest], axis=1).astype(np.int32)
