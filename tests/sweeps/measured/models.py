"""Small published models with a tokenizer, and what transformers gives for them."""

import shutil
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors

from tests import ROOT

FIXTURES = ROOT / "tests" / "fixtures" / "pretrained"
FIRST = 0x4E00
"""Code of the character that is token 0; the next 47 are the others."""


def copy_model(name: str, folder: Path, framed: bool = False) -> Path:
    """A fixture's folder with a tokenizer of its own, by which characters are tokens.

    Framed, a text stands between the tokens 1 and 2, as BERT's does.
    """
    place = folder / name
    shutil.copytree(FIXTURES / name, place, ignore=lambda *_: ["expected.npz"])
    vocabulary = {chr(FIRST + token): token for token in range(48)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=chr(FIRST)))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    if framed:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="< $A >", special_tokens=[("<", 1), (">", 2)]
        )
    tokenizer.save(str(place / "tokenizer.json"))
    return place


def expected(name: str) -> dict[str, np.ndarray]:
    """Tokens ``[2, 12]`` and what transformers gives for them; see make_pretrained."""
    with np.load(FIXTURES / name / "expected.npz") as file:
        return {one: file[one] for one in file.files}


def write_texts(tokens: np.ndarray, folder: Path) -> str:
    """One text for each row of tokens ``[B, T]``; returns them as `--text` does."""
    paths = [folder / f"{row}.txt" for row in range(len(tokens))]
    for path, row in zip(paths, tokens, strict=True):
        path.write_text("".join(chr(FIRST + int(token)) for token in row))
    return ",".join(str(path) for path in paths)
