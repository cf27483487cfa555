"""The tokenizer that comes with a model, and what it puts around a text."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from routers.pretrained.packages import optional


class Tokenizer(NamedTuple):
    """How a model's text becomes tokens.

    Attributes:
      encode: Function from a text to its token ids, with nothing around them.
      prefix: Ids that the model expects before a text, such as ``[CLS]``.
      suffix: Ids that it expects after a text.
    """

    encode: Callable[[str], list[int]]
    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()


def folder_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer in a folder's ``tokenizer.json``.

    Raises:
      ValueError: The file is damaged.
      OSError: It is missing.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: is missing; transformers' AutoTokenizer writes it with "
            "save_pretrained"
        )
    try:
        found = optional("tokenizers").Tokenizer.from_file(str(path))
    except ImportError:
        raise
    except Exception as error:  # the package raises nothing narrower
        raise ValueError(f"{path}: is no tokenizer ({error})") from None
    found.no_truncation()
    found.no_padding()
    framed = found.encode("a")
    special = [bool(one) for one in framed.special_tokens_mask]
    first = special.index(False) if False in special else len(special)
    last = len(special) - special[::-1].index(False) if False in special else first
    return Tokenizer(
        encode=plain(found),
        prefix=tuple(framed.ids[:first]),
        suffix=tuple(framed.ids[last:]),
    )


def plain(tokenizer: Any) -> Callable[[str], list[int]]:
    """Encoding by a tokenizer of the package ``tokenizers``, without special tokens."""
    return lambda text: list(tokenizer.encode(text, add_special_tokens=False).ids)
