"""Small published models with a tokenizer of their own, copied from the fixtures."""

import shutil
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors

from tests import ROOT

FIXTURES = ROOT / "tests" / "fixtures" / "pretrained"
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def copy_model(name: str, folder: Path, framed: bool = False) -> Path:
    """A fixture's folder, in which every letter is a token, with ``tokenizer.json``.

    Framed, a text stands between the tokens 1 and 2, as BERT's does.
    """
    place = folder / name
    shutil.copytree(FIXTURES / name, place, ignore=lambda *_: ["expected.npz"])
    vocabulary = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2}
    vocabulary |= {letter: 3 + index for index, letter in enumerate(LETTERS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    if framed:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
        )
    tokenizer.save(str(place / "tokenizer.json"))
    return place
