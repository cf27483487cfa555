"""Bigram-Backcopy: a sequence that is either a bigram step or a copy from two back.

A sequence starts with ``<s>``. The first symbol comes from the unigram distribution
without triggers; after an ordinary symbol ``x_t`` the next comes from its row of a
bigram table; after a *trigger* it is a copy of ``x_{t-1}``, so two triggers never
adjoin. On all queries but triggers attention has nothing to add and may park.

From Guo et al. 2024, Active-Dormant Attention Heads (arXiv 2410.13835). Two sources
of the statistics: a real text (characters, triggers the most frequent ones) and a
random table with Dirichlet rows. ``trigger_mass`` rescales every row so that its
triggers sum to it; 0 keeps the table's own share.
"""

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from routers.base import Array, Geometry, causal_geometry
from train.tasks import check_length


class BigramBackcopy(struct.PyTreeNode):
    """The task as traced arrays: another table of the same size never recompiles.

    Symbols 0 … k-1 are the triggers, V-1 is ``<s>``.

    Attributes:
      first: cumulative unigram without triggers, float32 ``[V - 1]``.
      rows: cumulative bigram table, float32 ``[V - 1, V - 1]``.
      triggers: k, static.
      length: T, static.
    """

    first: Array
    rows: Array
    triggers: int = struct.field(pytree_node=False)
    length: int = struct.field(pytree_node=False)

    @property
    def outputs(self) -> int:
        """V, symbols including ``<s>``."""
        return self.first.shape[0] + 1

    def geometry(self) -> Geometry:
        """Causal geometry of one sequence."""
        return causal_geometry(self.length)

    def sample(self, key: Array, batch: int) -> tuple[Array, Array]:
        """Draws sequences.

        Args:
          key: PRNG key.
          batch: B, how many.

        Returns:
          Tokens and next tokens, int32 ``[B, T]`` each.
        """
        uniform = jax.random.uniform(key, (self.length, batch))
        start = jnp.full((batch,), self.outputs - 1, jnp.int32)
        symbol = invert(self.first, uniform[0])

        def step(
            carry: tuple[Array, Array], u: Array
        ) -> tuple[tuple[Array, Array], Array]:
            previous, current = carry
            drawn = invert(self.rows[current], u)
            following = jnp.where(current < self.triggers, previous, drawn)
            return (current, following), following

        _, rest = jax.lax.scan(step, (start, symbol), uniform[1:])
        sequence = jnp.concatenate([start[None], symbol[None], rest]).T  # [B, T + 1]
        return sequence[:, :-1], sequence[:, 1:]

    def held_out(self, key: Array, batch: int) -> tuple[Array, Array]:
        """Fresh sequences: a stream of its own is never trained on."""
        return self.sample(key, batch)


def invert(cumulative: Array, u: Array) -> Array:
    """Inverse of cumulative distributions ``[..., V]`` at ``u [B]``, int32 ``[B]``."""
    table = jnp.broadcast_to(cumulative, (*u.shape, cumulative.shape[-1]))
    index = jnp.sum(table <= u[:, None], axis=-1)
    return jnp.minimum(index, table.shape[-1] - 1).astype(jnp.int32)


def from_counts(
    table: np.ndarray,
    unigram: np.ndarray,
    *,
    triggers: int,
    trigger_mass: float,
    length: int,
) -> BigramBackcopy:
    """Builds the task from statistics whose first symbols are the triggers.

    Args:
      table: non-negative ``[V - 1, V - 1]``, counts or probabilities; a row of
        zeros falls back to the unigram.
      unigram: non-negative ``[V - 1]``.
      triggers: k.
      trigger_mass: share of the triggers in every row, in [0, 1); 0 keeps the
        table's own.
      length: T.

    Raises:
      ValueError: sizes or shares out of range; the message names the setting.
    """
    symbols = len(unigram)
    check_length(length)
    if not 1 <= triggers < symbols:
        raise ValueError(
            f"task.triggers={triggers}: between 1 and {symbols - 1}, one fewer than "
            f"the {symbols} symbols"
        )
    if not 0 <= trigger_mass < 1:
        raise ValueError(f"task.trigger_mass={trigger_mass}: in [0, 1)")
    rows = np.where(table.sum(1, keepdims=True) > 0, table, unigram).astype(np.float64)
    rows /= rows.sum(1, keepdims=True)
    if trigger_mass:
        rows = _with_trigger_mass(rows, unigram, triggers, trigger_mass)
    first = unigram.astype(np.float64).copy()
    first[:triggers] = 0
    if first.sum() == 0:
        first[triggers:] = 1
    return BigramBackcopy(
        first=jnp.asarray(np.cumsum(first / first.sum()), jnp.float32),
        rows=jnp.asarray(np.cumsum(rows, axis=1), jnp.float32),
        triggers=triggers,
        length=length,
    )


def _with_trigger_mass(
    rows: np.ndarray, unigram: np.ndarray, triggers: int, mass: float
) -> np.ndarray:
    """Rescales triggers and the rest of every row to ``mass`` and ``1 - mass``."""
    parts = []
    for part, share in ((slice(triggers), mass), (slice(triggers, None), 1 - mass)):
        total = rows[:, part].sum(1, keepdims=True)
        fallback = unigram[part] + 1e-12
        even = np.broadcast_to(fallback / fallback.sum(), rows[:, part].shape)
        scaled = rows[:, part] / np.where(total > 0, total, 1)
        parts.append(share * np.where(total > 0, scaled, even))
    return np.concatenate(parts, axis=1)


def dirichlet_statistics(
    symbols: int, concentration: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """A random bigram table with Dirichlet rows and its uniform unigram."""
    if symbols < 2:
        raise ValueError(f"task.symbols={symbols}: at least 2")
    if concentration <= 0:
        raise ValueError(f"task.concentration={concentration}: greater than 0")
    generator = np.random.default_rng(seed)
    table = generator.dirichlet(np.full(symbols, concentration), size=symbols)
    return table, np.full(symbols, 1 / symbols)


def text_statistics(
    text: str, symbols: int, triggers: int
) -> tuple[np.ndarray, np.ndarray]:
    """Character bigram counts of a text, most frequent characters first.

    Args:
      text: any; characters beyond the ``symbols`` most frequent are left out,
        together with the bigrams that touch them.
      symbols: the largest alphabet.
      triggers: k, for the error message only.

    Returns:
      Bigram counts ``[n, n]`` and unigram counts ``[n]``, ``n <= symbols``.

    Raises:
      ValueError: the text has too few symbols.
    """
    ranked = sorted(Counter(text).items(), key=lambda item: (-item[1], item[0]))
    alphabet = [character for character, _ in ranked[:symbols]]
    if len(alphabet) <= triggers:
        raise ValueError(
            f"task.text has {len(alphabet)} different symbols; task.triggers="
            f"{triggers} needs at least {triggers + 1}"
        )
    index = {character: i for i, character in enumerate(alphabet)}
    codes = np.asarray([index.get(character, -1) for character in text])
    pairs = np.stack([codes[:-1], codes[1:]])
    pairs = pairs[:, (pairs >= 0).all(0)]
    table = np.zeros((len(alphabet), len(alphabet)))
    np.add.at(table, (pairs[0], pairs[1]), 1)
    unigram = np.bincount(codes[codes >= 0], minlength=len(alphabet)).astype(float)
    return table, unigram
