"""Windows of equal length, cut from texts after the model's own tokenizer."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from routers.pretrained import Model, Tokenizer
from sweeps.errors import BadInput
from train.tasks.text import read_text

SHORTEST = 10
"""Fewest tokens of a window; below that even uniform routing exceeds the threshold."""


class Windows(NamedTuple):
    """Windows of several texts, the texts taking turns.

    Attributes:
      tokens: int32 ``[W, T]``.
      texts: Number of texts; window w is of text ``w % texts``.
    """

    tokens: np.ndarray
    texts: int


def read_windows(
    model: Model, texts: Sequence[str], length: int, windows: int
) -> Windows:
    """Reads, tokenises and cuts texts.

    Args:
      model: The opened model, whose tokenizer is used.
      texts: Names of texts: files, or ``pydoc_data.topics``.
      length: T, tokens of a window, with those that the tokenizer puts around a text;
        at least `SHORTEST`.
      windows: W, number of windows over all texts, evenly spread over each of them; a
        multiple of the number of texts.

    Raises:
      BadInput: a text is too short or cannot be read, there is no tokenizer, or windows
        are longer than the model allows.
    """
    most = model.sizes.positions
    if most is not None and length > most:
        raise BadInput(
            f"--length={length}: must be at most {most}, the positions that "
            f"{model.source.path} has"
        )
    try:
        tokenizer = model.tokenizer()
        each = [
            _cut(name, _read(name), tokenizer, length, windows // len(texts))
            for name in texts
        ]
        tokens = np.stack(each, axis=1).reshape(windows, length)
        model.require_tokens(tokens)
    except BadInput:
        raise
    except (ValueError, OSError, ImportError) as error:
        raise BadInput(str(error)) from None
    return Windows(tokens.astype(np.int32), len(texts))


def _read(name: str) -> str:
    try:
        return read_text(name)
    except ValueError as error:  # which names the text as a sweep's config does
        raise BadInput(f"--{str(error).removeprefix('task.')}") from None


def _cut(
    name: str, text: str, tokenizer: Tokenizer, length: int, count: int
) -> np.ndarray:
    """Windows ``[count, T]`` that do not overlap, evenly spread over a text."""
    around = len(tokenizer.prefix) + len(tokenizer.suffix)
    inside = length - around
    tokens = np.asarray(tokenizer.encode(text), np.int64)
    if len(tokens) < count * inside:
        raise BadInput(
            f"--text={name}: has {len(tokens)} tokens, too few for {count} windows of "
            f"{inside}; give a longer text, or fewer or shorter windows"
        )
    starts = np.linspace(0, len(tokens) - inside, count).astype(int)
    if count == 1:
        starts = np.zeros(1, int)
    cut = np.stack([tokens[start : start + inside] for start in starts])
    ends = [np.tile(part, (count, 1)) for part in (tokenizer.prefix, tokenizer.suffix)]
    return np.concatenate([ends[0].astype(int), cut, ends[1].astype(int)], axis=1)
