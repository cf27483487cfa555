"""Bigram-Backcopy: every symbol is either a bigram step or a copy from two back.

A sequence starts with ``<s>``. The first symbol after it is drawn from the unigram
distribution without triggers. After an ordinary symbol ``x_t``, the next symbol is
drawn from the row of ``x_t`` in a bigram table. After a *trigger* ``x_t``, the next
symbol is a copy of ``x_{t-1}``, so two triggers are never adjacent. For a query that is
not a trigger, attention has nothing to add, and its weight may collect on a sink.

The task is from Guo et al. 2024, Active-Dormant Attention Heads (arXiv 2410.13835).
Its statistics come either from a real text, whose symbols are characters and whose
triggers are the most frequent ones, or from a random table with Dirichlet rows.
``trigger_mass`` rescales every row so that the probabilities of its triggers sum to
this value; 0 keeps the table as it is.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from routers.base import Array, Geometry, causal_geometry
from train.tasks import Kind, check_length
from train.tasks.memory import PAIR_BYTES, most_that_fit, require_memory


class BigramBackcopy(struct.PyTreeNode):
    """The task as traced arrays: another table of the same size never recompiles.

    Symbols 0 to k-1 are the triggers, and symbol V-1 is ``<s>``.

    Attributes:
      first: Cumulative unigram distribution without triggers, float32 ``[V - 1]``.
      rows: Cumulative distributions of the bigram table, float32 ``[V - 1, V - 1]``.
      triggers: k, number of triggers; static.
      length: T, number of positions of a sequence; static.
    """

    first: Array
    rows: Array
    triggers: int = struct.field(pytree_node=False)
    length: int = struct.field(pytree_node=False)

    @property
    def outputs(self) -> int:
        """V, number of symbols including ``<s>``."""
        return self.first.shape[0] + 1

    def geometry(self) -> Geometry:
        """Causal geometry of one sequence."""
        return causal_geometry(self.length)

    def sample(self, key: Array, batch: int) -> tuple[Array, Array]:
        """Draws sequences.

        Args:
          key: PRNG key.
          batch: B, number of sequences.

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
        """Draws fresh sequences; keys of the evaluation stream are never trained on."""
        return self.sample(key, batch)

    def kinds(self, inputs: Array, targets: Array) -> dict[str, Kind]:
        """Targets after a trigger, and targets drawn from the table.

        Returns:
          ``backcopy``: the queries that are triggers; their targets are certain.
          ``bigram``: all other queries except ``<s>``, which sees nothing but itself
          and whose target is drawn from the unigram.
        """
        backcopy = inputs < self.triggers
        bigram = (inputs >= self.triggers) & (inputs < self.outputs - 1)
        # The shares that `invert` draws with: the last symbol has all of the rest.
        above = jnp.where(targets == self.outputs - 2, 1.0, self.rows[inputs, targets])
        below = jnp.where(targets == 0, 0.0, self.rows[inputs, targets - 1])
        drawn = -jnp.log(jnp.where(bigram, above - below, 1.0))
        return {
            "backcopy": Kind(backcopy, jnp.zeros_like(drawn)),
            "bigram": Kind(bigram, drawn),
        }


def invert(cumulative: Array, u: Array) -> Array:
    """Inverts cumulative distributions ``[..., V]`` at ``u [B]``, to int32 ``[B]``."""
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
      table: Bigram counts or probabilities, not negative, ``[V - 1, V - 1]``; a row of
        zeros is replaced by the unigram.
      unigram: Counts or probabilities of the symbols, not negative, ``[V - 1]``.
      triggers: k, number of triggers.
      trigger_mass: Share of the triggers in every row, in [0, 1); 0 keeps the shares
        of the table.
      length: T, number of positions of a sequence.

    Raises:
      ValueError: a size or share is out of range; the message names the setting.
    """
    symbols = len(unigram)
    check_length(length)
    if not 1 <= triggers < symbols:
        raise ValueError(
            f"task.triggers={triggers}: must be between 1 and {symbols - 1}, one fewer "
            f"than the {symbols} symbols"
        )
    if not 0 <= trigger_mass < 1:
        raise ValueError(f"task.trigger_mass={trigger_mass}: must be in [0, 1)")
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
    """Rescales the triggers of every row to ``mass``, its other symbols to the rest."""
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
    """Draws a bigram table with Dirichlet rows; its unigram is uniform."""
    if symbols < 2:
        raise ValueError(f"task.symbols={symbols}: must be at least 2")
    fits = f"at most {most_that_fit(PAIR_BYTES, 2):,}"
    require_memory(float(symbols) ** 2 * PAIR_BYTES, f"task.symbols={symbols}", fits)
    if concentration <= 0:
        raise ValueError(f"task.concentration={concentration}: must be greater than 0")
    generator = np.random.default_rng(seed)
    table = generator.dirichlet(np.full(symbols, concentration), size=symbols)
    return table, np.full(symbols, 1 / symbols)


def text_statistics(
    text: str, symbols: int, triggers: int
) -> tuple[np.ndarray, np.ndarray]:
    """Counts the character bigrams of a text, the most frequent characters first.

    Args:
      text: Any text; all but its ``symbols`` most frequent characters are left out,
        together with the bigrams that contain them.
      symbols: Largest number of characters to count.
      triggers: k, number of triggers that the task will have.

    Returns:
      Bigram counts ``[n, n]`` and unigram counts ``[n]``, with ``n <= symbols``.

    Raises:
      ValueError: the text has too few different symbols for the triggers.
    """
    points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    occurs = np.bincount(points)
    # The most frequent first; among equals, the smaller code point.
    ranked = np.argsort(-occurs, kind="stable")[
        : min(symbols, np.count_nonzero(occurs))
    ]
    size = len(ranked)
    if size <= triggers:
        raise ValueError(
            f"task.text: has {size} different symbols, but task.triggers="
            f"{triggers} needs at least {triggers + 1}"
        )
    fits = f"at most {most_that_fit(PAIR_BYTES, 2):,}"
    require_memory(float(size) ** 2 * PAIR_BYTES, f"task.symbols={symbols}", fits)
    code_of = np.full(len(occurs), -1)
    code_of[ranked] = np.arange(size)
    codes = code_of[points]
    before, after = codes[:-1], codes[1:]
    kept = (before >= 0) & (after >= 0)
    pairs = np.bincount(before[kept] * size + after[kept], minlength=size**2)
    table = pairs.reshape(size, size).astype(float)
    return table, occurs[ranked].astype(float)
