"""Files that cannot be used: one line each, before any weight is loaded."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from routers.pretrained import Network, Source, open_model
from tests import ROOT

FOLDER = ROOT / "tests" / "fixtures" / "pretrained"


def change_settings(folder: Path, **changed: Any) -> None:
    path = folder / "config.json"
    settings = json.loads(path.read_text()) | changed
    path.write_text(json.dumps(settings))


def change_tensors(folder: Path, change: Callable[[dict], Any]) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def point_shard_at(folder: Path, place: str) -> None:
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"]["lm_head.weight"] = place
    path.write_text(json.dumps(index))


def cut(path: Path, share: float = 0.5) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


def pickle_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"PK")


WEIGHT = "transformer.h.1.mlp.c_fc.weight"
SHARD = "model-00002-of-00003.safetensors"
CASES: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "no settings": (
        "gpt2",
        lambda f: (f / "config.json").unlink(),
        "config.json: is missing",
    ),
    "settings are no JSON": (
        "gpt2",
        lambda f: (f / "config.json").write_text("{"),
        "config.json: is not JSON",
    ),
    "a setting is missing": (
        "gpt2",
        lambda f: change_settings(f, n_embd=None),
        "config.json: n_embd is missing",
    ),
    "a setting is no number": (
        "gpt2",
        lambda f: change_settings(f, n_head="three"),
        "n_head='three' must be a whole number of at least 1",
    ),
    "an unknown family": (
        "gpt2",
        lambda f: change_settings(f, model_type="t5"),
        "model_type='t5' must be 'bert' or 'gpt2' or 'gpt_neox' or 'llama'",
    ),
    "a setting that is not supported": (
        "gpt2",
        lambda f: change_settings(f, scale_attn_by_inverse_layer_idx=True),
        "scale_attn_by_inverse_layer_idx=True must be False",
    ),
    "a rotation that is not supported": (
        "llama",
        lambda f: change_settings(f, rope_parameters={"rope_type": "yarn"}),
        "rope_parameters: rope_type='yarn' must be 'default' or 'linear' or 'llama3'",
    ),
    "a share above one": (
        "gpt_neox",
        lambda f: change_settings(
            f, rope_parameters={"rope_theta": 1e4, "partial_rotary_factor": 2}
        ),
        "a share 2.0 of heads 8 wide cannot be rotated",
    ),
    "a negative number": (
        "llama",
        lambda f: change_settings(f, rms_norm_eps=-1e-6),
        "rms_norm_eps=-1e-06 must be a finite number above 0",
    ),
    "a limit that is none": (
        "mamba2",
        lambda f: change_settings(f, time_step_limit=-1),
        "time_step_limit=-1 must be two numbers",
    ),
    "more heads than the width allows": (
        "gpt2",
        lambda f: change_settings(f, n_head=5),
        "n_head=5 must divide n_embd=12",
    ),
    "more layers than there are": (
        "gpt2",
        lambda f: change_settings(f, n_layer=3),
        "tensor h.2.attn.c_attn.bias is missing",
    ),
    "fewer layers than there are": (
        "gpt2",
        lambda f: change_settings(f, n_layer=1),
        "tensor h.1.attn.c_attn.bias and 11 more has no place",
    ),
    "a wrong shape": (
        "gpt2",
        lambda f: change_tensors(f, lambda t: t.update({WEIGHT: t[WEIGHT][:, :5]})),
        r"tensor h.1.mlp.c_fc.weight has shape \[12, 5\], the settings say \[12, 48\]",
    ),
    "a tensor is missing": (
        "gpt2",
        lambda f: change_tensors(f, lambda t: t.pop(WEIGHT)),
        "tensor h.1.mlp.c_fc.weight is missing",
    ),
    "whole numbers": (
        "gpt2",
        lambda f: change_tensors(
            f, lambda t: t.update({WEIGHT: t[WEIGHT].astype(np.int8)})
        ),
        "h.1.mlp.c_fc.weight is of type I8, must be one of F64, F32, F16, BF16",
    ),
    "no weights": (
        "gpt2",
        lambda f: (f / "model.safetensors").unlink(),
        "has no safetensors file",
    ),
    "pickled weights": (
        "gpt2",
        pickle_weights,
        "pickled weights are not read.*convert",
    ),
    "truncated": (
        "gpt2",
        lambda f: cut(f / "model.safetensors"),
        "model.safetensors: is no whole safetensors file",
    ),
    "a shard is missing": (
        "llama",
        lambda f: (f / SHARD).unlink(),
        f"{SHARD}: is missing",
    ),
    "a shard is truncated": (
        "llama",
        lambda f: cut(f / SHARD),
        f"{SHARD}: is no whole safetensors file",
    ),
    "a shard without its tensor": (
        "llama",
        lambda f: point_shard_at(f, SHARD),
        f"{SHARD}: tensor lm_head.weight is missing",
    ),
    "a shard outside of the folder": (
        "llama",
        lambda f: point_shard_at(f, f"../{SHARD}"),
        "must be the name of a file in the same folder",
    ),
    "an index without names": (
        "llama",
        lambda f: (f / "model.safetensors.index.json").write_text("{}"),
        "weight_map is missing",
    ),
    "a truncated GGUF": ("llama.gguf", cut, "is no whole GGUF file"),
    "a GGUF of another kind": (
        "llama.gguf",
        lambda f: f.write_bytes(f.read_bytes().replace(b"llama", b"bloom")),
        "architecture 'bloom' must be one of llama, qwen2, qwen3",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_is_named_in_one_line(case: str, tmp_path: Path) -> None:
    name, spoil, message = CASES[case]
    place = tmp_path / name
    copy: Any = shutil.copytree if (FOLDER / name).is_dir() else shutil.copy
    copy(FOLDER / name, place)
    spoil(place)
    with pytest.raises((ValueError, OSError), match=message) as caught:
        open_model(place)
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_places_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is missing"):
        open_model(tmp_path / "nothing")
    (tmp_path / "model.pt").write_bytes(b"")
    with pytest.raises(ValueError, match=r"must be a folder, a \.gguf file or"):
        open_model(tmp_path / "model.pt")
    with pytest.raises(ValueError, match="dtype='float16': must be one of float32"):
        open_model(FOLDER / "gpt2", dtype="float16")
    for name, groups in (("mamba", 5), ("rwkv", 7), ("rwkv", 0)):
        with pytest.raises(ValueError, match=f"groups={groups}: must"):
            open_model(FOLDER / name, groups=groups)


def test_quantisations_that_are_not_supported_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from routers.pretrained import gguf_file

    monkeypatch.setattr(gguf_file, "QUANTISATIONS", ("F32", "Q8_0"))
    with pytest.raises(ValueError, match=r"type Q4_1, must be one of F32, Q8_0"):
        open_model(FOLDER / "llama.gguf")


def test_tokens_that_do_not_fit() -> None:
    model = open_model(FOLDER / "gpt2")
    for wrong in (-1, 48):
        with pytest.raises(ValueError, match=f"token id {wrong} must be at least 0"):
            model.require_tokens(np.asarray([[0, wrong]]))
    with pytest.raises(ValueError, match="17 positions, must be at most 16"):
        model.require_tokens(np.zeros((1, 17), int))
    with pytest.raises(ValueError, match="layer 2: must be at least 0 and below 2"):
        model.read_layer(2)


def test_a_folder_without_a_tokenizer() -> None:
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json: is missing"):
        open_model(FOLDER / "gpt2").tokenizer()


@pytest.mark.parametrize(
    ("reader", "message"),
    [
        ("nowhere", "must be of the form module:function"),
        ("nowhere:read", "cannot be imported .ModuleNotFoundError"),
        (f"{__name__}:FOLDER", "must be a function"),
    ],
)
def test_a_reader_that_does_not_exist(reader: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_model(FOLDER / "gpt2", reader=reader)


def read_as_gpt2(source: Source) -> Network:
    from routers.pretrained.gpt2 import read_gpt2

    return read_gpt2(source)


def test_a_reader_of_ones_own() -> None:
    model = open_model(FOLDER / "gpt2", reader=f"{__name__}:read_as_gpt2")
    assert model.sizes.layers == 2
