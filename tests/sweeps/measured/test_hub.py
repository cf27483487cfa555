"""Models by their name on the Hugging Face hub, which a fake stands in for."""

import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest

from sweeps.errors import BadInput
from sweeps.measured import hub
from sweeps.measured.hub import locate

NAME, COMMIT = "EleutherAI/pythia-160m", "50f5173d932e8e61f858120bcb800b97af589f46"


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A hub in reach; what it was asked to download."""
    downloads: list[dict[str, Any]] = []

    def download(**wanted: Any) -> str:
        downloads.append(wanted)
        return str(tmp_path / COMMIT)

    def info(_: Any, name: str, revision: str | None) -> SimpleNamespace:
        assert name == NAME and revision in (None, "step3000")
        return SimpleNamespace(sha=COMMIT)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return downloads


def out_of_reach(monkeypatch: pytest.MonkeyPatch, wait: float = 0.0) -> None:
    def info(*_: Any, **__: Any) -> None:
        time.sleep(wait)
        raise OSError("Name or service not known\nand more")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", info)


@pytest.mark.parametrize("revision", ["", "step3000"])
def test_a_name_is_fetched_at_its_commit(
    revision: str, asked: list[dict[str, Any]], tmp_path: Path
) -> None:
    assert locate(NAME, revision) == (tmp_path / COMMIT, COMMIT)
    (wanted,) = asked
    assert wanted["repo_id"] == NAME and wanted["revision"] == COMMIT
    assert not any(".bin" in pattern for pattern in wanted["allow_patterns"])


def test_what_is_on_this_machine_is_not_fetched(
    asked: list[dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / NAME).mkdir(parents=True)
    for name in (NAME, f"./{NAME}", "model.gguf", "/some/where/else"):
        assert locate(name, "") == (Path(name), "")
    with pytest.raises(BadInput, match="--revision=main: must be left out, because"):
        locate(NAME, "main")
    assert not asked


def test_without_the_hub_what_was_fetched_before_is_taken(
    asked: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out_of_reach(monkeypatch)
    assert locate(NAME, "") == (tmp_path / COMMIT, COMMIT)
    assert asked[0]["local_files_only"] and asked[0]["revision"] is None


@pytest.mark.parametrize("wait", [0.0, 1.0])
def test_without_the_hub_one_line_asks_for_a_folder(
    wait: float, asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing_kept(**_: Any) -> None:
        raise FileNotFoundError

    assert hub.PATIENCE <= 15
    monkeypatch.setattr(hub, "PATIENCE", 0.1)
    out_of_reach(monkeypatch, wait)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", nothing_kept)
    reason = "no answer in 0.1 s" if wait else "Name or service not known"
    with pytest.raises(BadInput, match=f"{reason}.; give the path of a folder with"):
        locate(NAME, "")


def test_the_package_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(BadInput, match=r"pip install 'router-sweeps\[pretrained\]'"):
        locate("no/model", "")
