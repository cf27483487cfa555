"""GGUF files of the Llama family, under the names of a Hugging Face folder.

A GGUF file holds settings, tensors and tokenizer. Rows of queries and keys are stored
for a rotation of *neighbouring* channels; they are put back in the order of halves.
Quantised tensors are expanded to float32 when they are read.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from routers.pretrained.packages import optional
from routers.pretrained.settings import Settings
from routers.pretrained.tensors import Entry, Tensors
from routers.pretrained.tokenizer import Tokenizer, plain

QUANTISATIONS = (
    *("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"),
    *("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"),
)
"""Types of tensors that are read."""
ARCHITECTURES = ("llama", "qwen2", "qwen3")
SETTINGS: Mapping[str, str] = {
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "rope.freq_base": "rope_theta",
}
"""Names of settings below the architecture's, and those of a folder."""
NAMES: Mapping[str, str] = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""Names of tensors without their block, and those of a folder."""
CONTROL = 3
"""Type of a token that stands for no text."""


def open_gguf(path: Path) -> tuple[Settings, Tensors, Any]:
    """Settings, tensors and the raw fields of a GGUF file.

    Raises:
      ValueError: The file is damaged or of another architecture.
      OSError: It is missing.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: is missing")
    reader = _reader(path)
    fields = reader.fields
    architecture = _value(fields, "general.architecture")
    if architecture not in ARCHITECTURES:
        raise ValueError(
            f"{path}: architecture {architecture!r} must be one of "
            f"{', '.join(ARCHITECTURES)}"
        )
    if (_value(fields, "split.count") or 1) > 1:
        raise ValueError(
            f"{path}: is one part of a split file; join the parts with llama.cpp's "
            "llama-gguf-split --merge"
        )
    found = {tensor.name: tensor for tensor in reader.tensors}
    if "rope_freqs.weight" in found:
        raise ValueError(
            f"{path}: tensor rope_freqs.weight, a scaled rotation, is not supported"
        )
    values = {
        theirs: _value(fields, f"{architecture}.{ours}")
        for ours, theirs in SETTINGS.items()
    }
    table = found.get("token_embd.weight")
    values |= {
        "model_type": architecture,
        "vocab_size": int(table.shape[1]) if table is not None else None,
        "tie_word_embeddings": "output.weight" not in found,
        "attention_bias": "blk.0.attn_q.bias" in found,
    }
    scaling = _value(fields, f"{architecture}.rope.scaling.type")
    if scaling not in (None, "none"):
        raise ValueError(
            f"{path}: {architecture}.rope.scaling.type={scaling!r} must be 'none'"
        )
    settings = Settings(values, str(path))
    published = {_published(name): tensor for name, tensor in found.items()}
    entries = {
        name: Entry(tuple(int(n) for n in t.shape[::-1]), t.tensor_type.name)
        for name, t in published.items()
    }
    rotated = {
        "self_attn.q_proj": "num_attention_heads",
        "self_attn.k_proj": "num_key_value_heads",
    }

    def load(name: str) -> np.ndarray:
        tensor = published[name]
        array = optional("gguf").quants.dequantize(tensor.data, tensor.tensor_type)
        array = array.reshape(entries[name].shape)
        part = next((part for part in rotated if f".{part}." in name), None)
        if part is None or architecture != "llama":  # only Llama's are rearranged
            return array
        return halves_first(array, settings.integer(rotated[part]))

    return settings, Tensors(str(path), entries, load, QUANTISATIONS), fields


def halves_first(rows: np.ndarray, heads: int) -> np.ndarray:
    """``[H K, ...]`` with channels 0, 2, 4 ... of every head first, then 1, 3, 5 ..."""
    by_pair = rows.reshape(heads, -1, 2, *rows.shape[1:])
    return by_pair.swapaxes(1, 2).reshape(rows.shape)


def gguf_tokenizer(fields: Any, where: str) -> Tokenizer:
    """The byte-level BPE tokenizer of a GGUF file.

    Raises:
      ValueError: There is none, or it is of a kind that is not supported.
    """
    tokenizers = optional("tokenizers")
    kind = _value(fields, "tokenizer.ggml.model")
    before = _value(fields, "tokenizer.ggml.pre")
    split = tokenizers.pre_tokenizers
    known = {
        "smollm": [split.Digits(individual_digits=True)],
        "gpt-2": [],
        "default": [],
    }
    if kind != "gpt2" or before not in known:
        raise ValueError(
            f"{where}: tokenizer {kind!r} with the splitting {before!r} is not "
            f"supported; supported is 'gpt2' with {', '.join(known)}"
        )
    tokens = _value(fields, "tokenizer.ggml.tokens") or []
    pairs = _value(fields, "tokenizer.ggml.merges") or []
    merges = [tuple(pair.split(" ", 1)) for pair in pairs]
    ids = {token: index for index, token in enumerate(tokens)}
    try:
        model = tokenizers.models.BPE(vocab=ids, merges=merges)
    except Exception as error:  # the package raises nothing narrower
        raise ValueError(f"{where}: is no tokenizer ({error})") from None
    made = tokenizers.Tokenizer(model)
    byte_level = split.ByteLevel(add_prefix_space=False)
    made.pre_tokenizer = split.Sequence([*known[before], byte_level])
    kinds = _value(fields, "tokenizer.ggml.token_type") or []
    control = [t for t, kind in zip(tokens, kinds, strict=False) if kind == CONTROL]
    made.add_special_tokens(control)
    start = _value(fields, "tokenizer.ggml.bos_token_id")
    begins = _value(fields, "tokenizer.ggml.add_bos_token") and start is not None
    return Tokenizer(encode=plain(made), prefix=(start,) if begins else ())


def _reader(path: Path) -> Any:
    gguf = optional("gguf")
    try:
        return gguf.GGUFReader(path)
    except OSError:
        raise
    except Exception as error:  # what a damaged file raises depends on where it ends
        raise ValueError(
            f"{path}: is no whole GGUF file ({type(error).__name__}: {error})"
        ) from None


def _value(fields: Any, name: str) -> Any:
    return fields[name].contents() if name in fields else None


def _published(name: str) -> str:
    """A tensor's name in a folder; unknown names stay as they are."""
    found = re.fullmatch(r"(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)", name)
    if found is None or found[2] not in NAMES:
        return name
    layer = "" if found[1] is None else f"model.layers.{found[1]}."
    return f"{layer}{NAMES[found[2]]}.{found[3]}"
