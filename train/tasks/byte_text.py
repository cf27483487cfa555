"""Next-byte prediction on a text held on the device.

A sequence is ``<s>`` and then consecutive bytes of the text; every position predicts
the byte that follows. ``<s>`` stands first for the same reason as in Bigram-Backcopy:
it is a source that every query sees and that says nothing about the text, so a router
with nothing to add has somewhere to park. Without it the parking place would be the
first byte of the window, whose content differs from window to window.

The first nine tenths of the text are trained on and the last tenth is held out, cut
before anything else, so no window reaches across. TFDS shuffles the text as records
(`train.tasks.text_builder`); windows start at random inside a record, at every place
where they fit with the same probability, and are never put together from two.

Symbols are the bytes that occur anywhere in the text, in the order of their codes, so
losses are nats per byte, exactly those of 256 outputs of which the others never occur.
That a rare byte exists at all is thus known from the held-out part too; nothing else
is.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from routers.base import Array, Geometry, causal_geometry
from train.tasks import check_length

HELD_OUT = 0.1
LEAST_RECORD = 4096
RECORD_IN_WINDOWS = 16
"""A record is this long at least, so that at most 1/16 of its places start none."""
MOST_BYTES = 2**31 - 1  # positions are int32


class Records(struct.PyTreeNode):
    """A part of a text.

    Attributes:
      symbols: uint8 ``[N]``, records one after another.
      windows: int32 ``[R]``, cumulative numbers of windows that start in a record.
    """

    symbols: Array
    windows: Array


class ByteText(struct.PyTreeNode):
    """The task as traced arrays: another text of the same sizes never recompiles.

    Symbol s is byte ``alphabet[s]``; V-1 is ``<s>``.

    Attributes:
      alphabet: uint8 ``[V - 1]``, ascending.
      train: what is trained on.
      test: what is held out.
      length: T, static.
    """

    alphabet: Array
    train: Records
    test: Records
    length: int = struct.field(pytree_node=False)

    @property
    def outputs(self) -> int:
        """V, bytes that occur and ``<s>``."""
        return self.alphabet.shape[0] + 1

    def geometry(self) -> Geometry:
        """Causal geometry of one sequence."""
        return causal_geometry(self.length)

    def sample(self, key: Array, batch: int) -> tuple[Array, Array]:
        """Cuts windows from what is trained on.

        Args:
          key: PRNG key.
          batch: B, how many.

        Returns:
          ``<s>`` and T - 1 symbols, and the T symbols that follow each, int32
          ``[B, T]`` both.
        """
        return self._cut(self.train, key, batch)

    def held_out(self, key: Array, batch: int) -> tuple[Array, Array]:
        """As `sample`, from the held-out end of the text."""
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
    """The trained and the held-out part of a text, uint8 ``[N]`` each."""
    data = np.frombuffer(text, np.uint8)
    edge = len(data) - int(HELD_OUT * len(data))
    return {"train": data[:edge], "held_out": data[edge:]}


def byte_text(text: bytes, length: int, data_dir: str = "") -> ByteText:
    """Builds the task, its records read through TFDS.

    Args:
      text: any bytes.
      length: T.
      data_dir: TFDS's data directory; "" is its own default.

    Raises:
      ValueError: the text is too short or too long, or the data directory cannot be
        used; the message names the setting.
    """
    check_length(length)
    if len(text) > MOST_BYTES:
        raise ValueError(f"task.text: {len(text):,} bytes; at most {MOST_BYTES:,}")
    parts = split_text(text)
    size = len(parts["held_out"])
    if length > size:
        raise ValueError(
            f"train.length={length}: longer than the text's held-out part ({size} "
            f"bytes, the last tenth of {len(text)})"
        )
    from train.tasks.text_builder import byte_records  # imports TFDS, 1 s

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
