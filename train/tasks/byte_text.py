"""Next-byte prediction on a text that is held on the device.

A sequence is ``<s>`` followed by consecutive bytes of the text, and every position
predicts the byte that follows. ``<s>`` comes first for the same reason as in
Bigram-Backcopy: every query sees it and it says nothing about the text, so a router
with nothing to add can use it as a sink. Without it, the sink would be the first byte
of the window, whose content differs from window to window.

The first nine tenths of the text are trained on and the last tenth is held out. The
text is cut before anything else happens, so no window crosses the cut. TFDS shuffles
the text in records (`train.tasks.text_builder`). Windows lie inside one record and
start at random, with the same probability at every place where they fit.

The symbols are the bytes that occur anywhere in the text, in the order of their codes.
Losses are therefore in nats per byte, exactly as with 256 outputs, of which the others
never occur. The alphabet is the only thing known from the held-out part.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from routers.base import Array, Geometry, causal_geometry
from train.tasks import check_length

HELD_OUT = 0.1
"""Share of the text that is held out."""
LEAST_RECORD = 4096
"""Smallest number of bytes of a record."""
RECORD_IN_WINDOWS = 16
"""Smallest length of a record, in windows.

At most 1/16 of a record's places thus lie too near its end for a window to start."""
MOST_BYTES = 2**31 - 1
"""Largest number of bytes of a text, because positions are int32."""


class Records(struct.PyTreeNode):
    """The records of a part of a text.

    Attributes:
      symbols: Symbols of all records, one record after another, uint8 ``[N]``.
      windows: Cumulative number of windows that start in each record, int32 ``[R]``.
    """

    symbols: Array
    windows: Array


class ByteText(struct.PyTreeNode):
    """The task as traced arrays: another text of the same sizes never recompiles.

    Symbol s is the byte ``alphabet[s]``, and symbol V-1 is ``<s>``.

    Attributes:
      alphabet: Bytes that occur in the text, ascending, uint8 ``[V - 1]``.
      train: Part of the text that is trained on.
      test: Part of the text that is held out.
      length: T, number of positions of a sequence; static.
    """

    alphabet: Array
    train: Records
    test: Records
    length: int = struct.field(pytree_node=False)

    @property
    def outputs(self) -> int:
        """V, number of bytes that occur, plus one for ``<s>``."""
        return self.alphabet.shape[0] + 1

    def geometry(self) -> Geometry:
        """Causal geometry of one sequence."""
        return causal_geometry(self.length)

    def sample(self, key: Array, batch: int) -> tuple[Array, Array]:
        """Cuts windows from the part that is trained on.

        Args:
          key: PRNG key.
          batch: B, number of windows.

        Returns:
          Inputs, which are ``<s>`` and T - 1 symbols, and targets, which are the T
          symbols that follow; int32 ``[B, T]`` each.
        """
        return self._cut(self.train, key, batch)

    def held_out(self, key: Array, batch: int) -> tuple[Array, Array]:
        """As `sample`, but cuts windows from the held-out part of the text."""
        return self._cut(self.test, key, batch)

    def _cut(self, part: Records, key: Array, batch: int) -> tuple[Array, Array]:
        chosen = jax.random.randint(key, (batch,), 0, part.windows[-1])
        record = jnp.searchsorted(part.windows, chosen, side="right")
        # Every record before this one has T - 1 more symbols than windows.
        start = chosen + record * (self.length - 1)
        index = start[:, None] + jnp.arange(self.length)
        targets = part.symbols[index].astype(jnp.int32)  # [B, T]
        first = jnp.full((batch, 1), self.outputs - 1, jnp.int32)
        return jnp.concatenate([first, targets[:, :-1]], axis=1), targets


def split_text(text: bytes) -> dict[str, np.ndarray]:
    """Splits a text into ``train`` and ``held_out``, uint8 ``[N]`` each."""
    data = np.frombuffer(text, np.uint8)
    edge = len(data) - int(HELD_OUT * len(data))
    return {"train": data[:edge], "held_out": data[edge:]}


def byte_text(text: bytes, length: int, data_dir: str = "") -> ByteText:
    """Builds the task from a text, whose records are read through TFDS.

    Args:
      text: Any bytes.
      length: T, number of positions of a sequence.
      data_dir: Data directory of TFDS; "" is TFDS's own default.

    Raises:
      ValueError: the text is too short or too long, or the data directory cannot be
        used; the message names the setting.
    """
    check_length(length)
    if len(text) > MOST_BYTES:
        raise ValueError(
            f"task.text: has {len(text):,} bytes; must have at most {MOST_BYTES:,}"
        )
    parts = split_text(text)
    size = len(parts["held_out"])
    if length > size:
        raise ValueError(
            f"train.length={length}: must not be longer than the text's held-out part "
            f"({size} bytes, the last tenth of {len(text)})"
        )
    from train.tasks.text_builder import byte_records  # importing TFDS takes 1 s

    record = max(LEAST_RECORD, RECORD_IN_WINDOWS * length)
    records = byte_records(parts, record, data_dir)
    return from_records(records["train"], records["held_out"], length)


def from_records(
    train: list[np.ndarray], test: list[np.ndarray], length: int
) -> ByteText:
    """Builds the task from records of at least ``length`` bytes, uint8 each."""
    occurs = np.zeros(256, bool)
    for record in [*train, *test]:
        occurs[record] = True
    alphabet = np.flatnonzero(occurs).astype(np.uint8)
    symbol_of = np.zeros(256, np.uint8)
    symbol_of[alphabet] = np.arange(len(alphabet))

    def on_device(records: list[np.ndarray]) -> Records:
        windows = np.cumsum([len(record) - length + 1 for record in records])
        return Records(
            symbols=jnp.asarray(symbol_of[np.concatenate(records)]),
            windows=jnp.asarray(windows, jnp.int32),
        )

    return ByteText(
        alphabet=jnp.asarray(alphabet),
        train=on_device(train),
        test=on_device(test),
        length=length,
    )
